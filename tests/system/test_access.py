"""Who may use the proxy, and where it may go (CONTRACT: access)."""
import pytest

from harness.client import Client
from harness.daemon import Larder
from harness.origin import Reply


@pytest.fixture(scope="module")
def closed(origin):
    """Nothing private listed as a destination: the default."""
    daemon = Larder({"access": {"destinations": []}})
    yield daemon
    daemon.close()


@pytest.mark.parametrize("host", [
    "127.0.0.1", "localhost", "127.1.2.3", "[::1]", "[::ffff:127.0.0.1]",
    "0.0.0.0", "[::]", "2130706433", "127.1", "0x7f000001", "localhost."])
def test_loopback_is_refused(closed, origin, path, host):
    """Server-side request forgery: by address, by name, in any spelling."""
    origin.on(path, Reply("secret"))
    answer = closed.get(f"http://{host}:{origin.port}{path}")
    assert answer.status in (400, 403, 502), answer
    assert answer.body != b"secret" and not origin.count(path)


def test_refusal_names_the_rule(closed, origin, path):
    answer = closed.get(origin.url(path))
    assert answer.status == 403 and "destinations" in answer.text
    assert answer.cache_status, "Cache-Status says why"
    entry = closed.access(origin.url(path))[0]
    assert (entry.result, entry.status) == ("TCP_DENIED", 403)


@pytest.mark.parametrize("address", ["10.255.255.1", "192.168.255.1", "172.16.255.1",
                                     "169.254.169.254", "[fe80::1]", "[fd00::dead]"])
def test_private_destinations_are_refused(closed, path, address):
    """Link-local too: it is where clouds keep their credentials."""
    assert closed.get(f"http://{address}{path}").status == 403


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "FOO"])
def test_every_method_is_refused(closed, origin, path, method):
    url = origin.on(path, Reply("secret"))
    assert closed.request(method, url, body=b"x").status == 403
    assert not origin.count(path)


def test_only_listed_destinations(origin, make, path):
    larder = make({"access": {"destinations": ["127.0.0.2/32"]}})
    url = origin.on(path, Reply("x"))
    assert larder.get(url).status == 403
    assert not origin.count(path)


def test_clients_are_refused(origin, make, path):
    larder = make({"access": {"clients": ["10.0.0.0/8"]}})
    url = origin.on(path, Reply("x"))
    answer = larder.get(url)
    assert answer.status == 403 and "clients" in answer.text
    assert not origin.count(path)


def test_clients_by_address(origin, make, path):
    """127.0.0.1 is in, 127.0.0.9 is not."""
    import socket
    larder = make({"access": {"clients": ["127.0.0.1/32"]}})
    url = origin.on(path, Reply("x"))
    assert larder.get(url).status == 200
    sock = socket.create_connection(larder.address, 10, source_address=("127.0.0.9", 0))
    with Client(sock) as client:
        assert client.get(url).status == 403


def test_unix_socket_clients_are_let_in(origin, make, path):
    """Who may open the socket is the file system's matter."""
    larder = make(start=False)
    sock = str(larder.folder / "proxy.sock")
    larder.options["listen"] = [f"127.0.0.1:{larder.port}", f"unix:{sock}"]
    larder.options["access"]["clients"] = ["127.0.0.1/32"]
    larder.write_conf()
    larder.start()
    url = origin.on(path, Reply("x"))
    with Client(sock) as client:
        assert client.get(url).body == b"x"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.5", "[::ffff:127.0.0.1]"])
def test_never_fetches_from_itself(larder, path, host):
    """Not even where destinations would allow it; in one step, not in a loop."""
    answer = larder.get(f"http://{host}:{larder.port}{path}")
    if host == "127.0.0.5":  # listens on 127.0.0.1 only: nobody is there
        assert answer.status >= 400
    else:
        assert answer.status in (400, 403, 502, 508), answer


def test_never_tunnels_to_itself(make):
    larder = make(start=False)
    larder.options["access"]["connect_ports"] = [larder.port]
    larder.write_conf()
    larder.start()
    name = f"127.0.0.1:{larder.port}"
    with larder.client() as client:
        client.send_head("CONNECT", name, host=name)
        assert client.response("CONNECT").status in (403, 508)


def test_refused_hit(origin, make, path):
    """A cached object is no way around the rule after it was tightened."""
    larder = make()
    url = origin.on(path, Reply("x", fields={"Cache-Control": "max-age=60"}))
    assert larder.get(url).status == 200
    assert larder.get(url).hit
    larder.options["access"]["clients"] = ["10.0.0.0/8"]
    larder.write_conf()
    larder.restart()
    assert larder.get(url).status == 403


def test_error_echoes_nothing(closed, origin):
    """CVE-2025-62168: an error page that reflects the request leaks it."""
    answer = closed.get(origin.url("/needle-in-the-path"),
                        {"Cookie": "needle=1", "Authorization": "Basic bmVlZGxl"})
    assert answer.status == 403
    assert b"needle" not in answer.body and b"bmVlZGxl" not in answer.body
