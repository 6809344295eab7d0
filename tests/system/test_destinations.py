"""Where larder connects: the rule holds for the address that is connected to, in
whatever spelling it was asked for; itself never (CVE-like: SSRF by spelling)."""
import pytest

from harness.client import Aborted
from harness.daemon import Larder
from harness.recorder import Recorder

#: spellings of 127.0.0.1, and of what leads there
LOOPBACK = ["127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0x7f.0.0.1",
            "0177.0.0.1", "017700000001", "0177.1", "127.0.0.01", "00127.0.0.1", "127.0.0.1.",
            "127.0.0.2", "127.255.255.254", "0.0.0.0", "0", "0.0", "0x0",
            "localhost", "LOCALHOST", "localhost.", "a.localhost", "a.localhost.",
            "[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::]", "[::ffff:127.0.0.1]",
            "[::FFFF:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::7f00:1]",
            "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]",
            "[2002:7f00:1::]", "[2002:7f00:1::1]", "[2001:0:7f00:1::1]"]
PRIVATE = ["10.0.0.1", "10.1", "0x0a000001", "167772161", "172.16.0.1", "192.168.0.1", "192.168.1",
           "169.254.169.254", "169.254.43518", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376",
           "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
           "[::ffff:10.0.0.1]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]",
           "[::ffff:0:10.0.0.1]", "[64:ff9b::10.0.0.1]", "[64:ff9b::a9fe:a9fe]",
           "[2002:a00:1::]", "[2002:a9fe:a9fe::1]", "[2001:0:a00:1::]", "[fe80::1]", "[fec0::1]",
           "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[100::1]", "[2001:db8::1]", "[5f00::1]"]


@pytest.fixture(scope="module")
def canary():
    server = Recorder()
    yield server
    server.close()


def port_of(recorder):
    return int(recorder.authority.partition(":")[2])


@pytest.fixture(scope="module")
def strict(canary):
    """Nothing private is listed."""
    instance = Larder({"workers": 1, "timeouts": {"connect": "1s"},
                       "access": {"destinations": [], "connect_ports": [port_of(canary)]}})
    yield instance
    instance.close()


def statuses(larder, host, port):
    got = []
    for send in (f"GET http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n",
                 f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"
                 "GET /through HTTP/1.1\r\nHost: x\r\n\r\n"):
        with larder.client(timeout=8) as client:
            client.send(send)
            try:
                got.append(client.response().status)
            except Aborted:
                got.append("aborted")
    return got


@pytest.mark.parametrize("host", LOOPBACK + PRIVATE)
def test_unlisted_address(strict, canary, host):
    """403 where it is an address; 502 where it is none (odd spellings are names
    that nobody has). Never a connection."""
    got = statuses(strict, host, port_of(canary))
    assert got in ([403, 403], [502, 502]), got
    dotted = host.strip("[]").split(".")
    plain = host.startswith("[") or (len(dotted) == 4 and all(
        d.isdigit() and str(int(d)) == d for d in dotted)) or "localhost" in host.lower()
    if plain:
        assert got == [403, 403], got
    assert canary.connections == 0


@pytest.fixture(scope="module")
def loopback_listed():
    """All of loopback is listed, and it listens on both families; it is the
    destination itself."""
    from harness.daemon import free_port
    port = free_port()
    instance = Larder({"workers": 1, "timeouts": {"connect": "1s"},
                       "listen": [f"127.0.0.1:{port}", f"[::1]:{port}"],
                       "access": {"destinations": ["127.0.0.0/8", "::1/128", "::/128", "0.0.0.0/8"],
                                  "connect_ports": [port]}}, start=False)
    instance.port = port
    instance.start()
    yield instance
    instance.close()


@pytest.mark.parametrize("host", LOOPBACK)
def test_itself_never(loopback_listed, host):
    """Listed or not: a request that came back would do so again."""
    got = statuses(loopback_listed, host, loopback_listed.port)
    assert all(s in (403, 502) for s in got), got
    if host in ("127.0.0.1", "[::1]", "localhost", "a.localhost", "[::ffff:127.0.0.1]", "0.0.0.0",
                "[::]", "127.0.0.2"):
        assert got == [403, 403], got
    log = loopback_listed.log.read_text() if loopback_listed.log.exists() else ""
    assert "/through" not in log, "it has tunnelled to itself"


def test_a_site_that_is_larder_itself(make):
    """A site's origin is the admin's choice, but not this one."""
    from harness.daemon import free_port
    port = free_port()
    larder = make({"workers": 1, "listen": [f"127.0.0.1:{port}"]},
                  sites={"loop.test": f"http://127.0.0.1:{port}"}, start=False)
    larder.port = port
    larder.start()
    assert larder.get("/", host="loop.test").status == 403
