"""larderctl doctor: it sees what is wrong, and is not fooled."""
import json
import os
import pathlib
import re
import shutil
import socket
import tempfile
import threading

import pytest

from harness.daemon import LARDERD, Larder, free_port
from harness.origin import Reply

NOBODY = 65534
#: No address of a name server is asked in these tests.
NOWHERE = {"access": {"destinations": []}}


def doctor(larder, *args, status=None):
    done = larder.ctl("--json", "doctor", *args)
    tree = json.loads(done.stdout)
    assert done.returncode == (1 if tree["fail"] else 0), done
    assert status is None or done.returncode == status, done.stdout
    return tree["checks"]


def of(checks, name, *states):
    return [c for c in checks if c["name"] == name and (not states or c["state"] in states)]


@pytest.fixture
def url(origin, path):
    return origin.on(path, Reply("x", fields={"Cache-Control": "max-age=60"}))


def test_all_is_well(make, url):
    larder = make()
    checks = doctor(larder, url, status=0)
    assert not of(checks, "cache", "warn", "fail", "skipped")
    texts = [c["text"] for c in of(checks, "cache", "ok")]
    assert len(texts) == 2 and "a miss" in texts[0] and "a hit" in texts[1]
    assert of(checks, "origin", "ok") and of(checks, "address", "ok") and of(checks, "daemon", "ok")
    assert of(checks, "disk", "ok") and len(of(checks, "permissions", "ok")) == 3
    # It leaves nothing behind, and no door open.
    listed = json.loads(larder.ctl("--json", "ls", "*doctor*", check=0).stdout)
    assert listed["objects"] == []


def test_the_pages_addresses_are_no_proxies(make, url):
    """They take connections, and nothing is asked through them."""
    at = f"127.0.0.1:{free_port()}"
    checks = doctor(make({"admin_listen": [at]}), url, status=0)
    assert [c for c in of(checks, "address", "ok") if at in c["text"]]
    assert len(of(checks, "cache", "ok")) == 2


def test_every_complaint_has_its_fix(make, url):
    larder = make()
    assert larder.stop() == 0
    checks = doctor(larder, url, status=1)
    bad = [c for c in checks if c["state"] in ("warn", "fail")]
    assert bad and all(c["fix"] for c in bad)
    assert all(c["fix"] is None for c in checks if c["state"] == "ok")
    text = larder.ctl("doctor", url).stdout
    assert text.count("fix: ") == len(bad) and "FAILED" in text


def test_loopback_need_not_be_a_destination(make, url):
    """The order that allows doctor's own origin allows nothing else, and ends."""
    larder = make(NOWHERE)
    checks = doctor(larder, url, status=1)
    assert len(of(checks, "cache", "ok")) == 2
    refused = of(checks, "origin", "fail")
    assert refused and "destinations" in refused[0]["fix"]
    assert larder.get(url).status == 403


def test_the_order_is_for_one_port(make, url):
    import subprocess
    larder = make(NOWHERE)
    port = url.split(":")[2].split("/")[0]

    def order(value):
        return subprocess.run(["curl", "-s", "--unix-socket", str(larder.socket), "-d", f"port={value}",
                               "http://x/probe"], capture_output=True, text=True).stdout
    assert "error" in order("x") and "error" in order("65536") and "error" in order("")
    order(int(port) + 1 if int(port) < 65535 else 1)
    assert larder.get(url).status == 403
    order(port)
    assert larder.get(url).status == 200
    # Never to larder itself.
    order(larder.port)
    assert larder.get(f"http://127.0.0.1:{larder.port}/").status in (403, 508)
    order(0)
    larder.ctl("purge", url, check=0)
    assert larder.get(url).status == 403


def test_every_listener_is_tried(make, url):
    second = free_port()
    larder = make(start=False)
    larder.options["listen"].append(f"127.0.0.1:{second}")
    larder.write_conf()
    larder.start()
    checks = doctor(larder, url, status=0)
    assert len(of(checks, "address", "ok")) == 2 and len(of(checks, "cache", "ok")) == 3


# -- what is wrong ---------------------------------------------------------
def test_down(make, url):
    larder = make()
    assert larder.stop() == 0
    checks = doctor(larder, url, status=1)
    assert str(larder.socket) in of(checks, "daemon", "fail")[0]["text"]
    assert of(checks, "address", "ok") and "free" in of(checks, "address")[0]["text"]
    assert of(checks, "cache", "skipped") and of(checks, "origin", "skipped")
    assert of(checks, "disk", "ok")


def test_down_because_of_the_port(make, url):
    larder = make()
    assert larder.stop() == 0
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(larder.address)
        other.listen()
        checks = doctor(larder, url, status=1)
    found = of(checks, "address", "fail")
    assert found and str(larder.port) in found[0]["text"] and "ss -ltnp" in found[0]["fix"]


def test_configuration_that_is_wrong(make, url):
    larder = make()
    larder.conf.write_text(larder.text() + "wokers = 1\n")
    done = larder.ctl("--json", "doctor", url)
    found = of(json.loads(done.stdout)["checks"], "configuration", "fail")
    assert done.returncode == 1 and "wokers" in found[0]["text"]
    assert re.search(r"larder\.conf:\d+", found[0]["text"])


def test_address_that_is_not_listened_on(make, url):
    """The configuration has changed, and nobody said reload."""
    larder = make()
    other = free_port()
    larder.conf.write_text(larder.text().replace(f":{larder.port}", f":{other}"))
    checks = doctor(larder, url, status=1)
    assert "reload" in of(checks, "address", "fail")[0]["fix"]
    assert of(checks, "cache", "fail")


def test_clients_that_may_not(make, url):
    larder = make({"access": {"clients": ["10.0.0.0/8"]}})
    checks = doctor(larder, url)
    assert "access.clients" in of(checks, "cache", "warn")[0]["fix"]


def test_nothing_is_stored(make, url):
    """A rule that makes it no cache at all."""
    larder = make(extra='rule { match = "*" never = true }')
    checks = doctor(larder, url, status=1)
    assert "not stored" in of(checks, "cache", "fail")[0]["text"]


def test_name_that_does_not_resolve(make):
    larder = make()
    checks = doctor(larder, "http://nowhere.invalid/", status=1)
    assert of(checks, "names", "fail") and of(checks, "origin", "fail")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_permissions(origin, url):
    """By whom it runs as, not by who asks."""
    with tempfile.TemporaryDirectory(prefix="larder-nobody-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        binary = folder / "larderd"
        shutil.copy(LARDERD, binary)
        binary.chmod(0o755)
        home = folder / "home"
        home.mkdir()
        shutil.chown(home, NOBODY, NOBODY)
        larder = Larder(folder=home, user=NOBODY, binary=binary)
        try:
            assert not of(doctor(larder, url, status=0), "permissions", "fail")
            shutil.chown(larder.cache, "root")
            found = of(doctor(larder, url, status=1), "permissions", "fail")
            assert len(found) == 1 and str(larder.cache) in found[0]["text"]
            shutil.chown(larder.cache, NOBODY)
        finally:
            larder.close()


# -- not fooled ------------------------------------------------------------
class Impostor:
    """Takes larder's port and says yes to everything."""

    def __init__(self, address, answer):
        self.answer = answer
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.sock.bind(address)
        self.sock.listen()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            with sock:
                try:
                    head = sock.recv(65536)
                    sock.sendall(self.answer(head))
                except OSError:
                    pass

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.thread.join()


def reply(fields, body=b"yes"):
    return (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n%s"
            % (len(body), fields, body))


def through(head, count):
    """Really asks the origin, each time, and calls it what is expected."""
    target = re.match(rb"GET http://([^:/]+):(\d+)(\S*)", head)
    if not target:
        return reply(b"")
    with socket.create_connection((target[1].decode(), int(target[2])), 5) as sock:
        sock.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target[3])
        data = b""
        while piece := sock.recv(65536):
            data += piece
    count.append(1)
    status = b"larder; hit" if len(count) > 1 else b"larder; fwd=uri-miss; stored"
    return reply(b"Cache-Status: %s\r\n" % status, data.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("kind", ["plain", "hits", "stores", "relays", "silent"])
def test_something_else_has_the_port(make, url, kind):
    """The daemon answers on its socket; what has the port only looks like it."""
    larder = make()
    count = []
    answers = {
        "plain": lambda head: reply(b""),
        "hits": lambda head: reply(b"Cache-Status: larder; hit; ttl=60\r\n"),
        "stores": lambda head: reply(b"Cache-Status: larder; fwd=uri-miss; stored\r\n"),
        "relays": lambda head: through(head, count),
        "silent": lambda head: b"",
    }
    port = free_port()
    impostor = Impostor(("127.0.0.1", port), answers[kind])
    try:
        larder.conf.write_text(larder.text().replace(f":{larder.port}", f":{port}"))
        checks = doctor(larder, url, status=1)
    finally:
        impostor.close()
    assert of(checks, "cache", "fail"), kind
    if kind == "relays":
        assert any("fetched again" in c["text"] for c in of(checks, "cache", "fail"))


def test_another_larder_has_the_port(make, url):
    """Both are larder; the wrong one is asked."""
    larder, other = make(NOWHERE), make(NOWHERE)
    larder.conf.write_text(larder.text().replace(f":{larder.port}", f":{other.port}"))
    checks = doctor(larder, url, status=1)
    assert "another larderd" in of(checks, "cache", "fail")[0]["text"]


def test_quiet(make, url):
    larder = make()
    done = larder.ctl("-q", "doctor", url, check=0)
    assert done.stdout == done.stderr == ""
    assert larder.stop() == 0
    done = larder.ctl("-q", "doctor", url, check=1)
    assert done.stdout == "" and "fix:" in done.stderr
