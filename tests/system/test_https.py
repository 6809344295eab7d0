"""Origins over TLS: https:// in absolute form, and apt-cacher-ng's HTTPS///."""
import socket
import subprocess
import threading

import pytest

from harness.client import Aborted
from harness.daemon import PATIENCE, Larder
from harness.origin import Origin, Reply, pattern


@pytest.fixture(scope="module")
def larder(origin, authority):
    daemon = Larder(env={"SSL_CERT_FILE": str(authority.cert)})
    yield daemon
    daemon.close()


@pytest.fixture(scope="module")
def secure(authority):
    server = Origin(tls=authority.issue("good", ["DNS:localhost", "IP:127.0.0.1"]))
    yield server
    server.stop()


@pytest.fixture
def origin_with(authority):
    servers = []

    def start(label, names, **kw):
        servers.append(Origin(tls=authority.issue(label, names, **kw)))
        return servers[-1]
    yield start
    for server in servers:
        server.stop()


def test_get(larder, secure, path):
    body = pattern(500_000)
    secure.on(path, Reply(body, fields={"Cache-Control": "max-age=60"}))
    url = secure.url(path, "localhost")
    assert larder.get(url).body == body
    second = larder.get(url)
    assert second.hit and second.body == body
    assert secure.count(path) == 1
    assert secure.seen(path)[0].target == path


def test_by_address(larder, secure, path):
    """A certificate may name an IP address (RFC 9110 4.3.5)."""
    url = secure.on(path, Reply("x"))
    assert larder.get(url).body == b"x"


def test_http_and_https_are_different_resources(larder, origin, secure, path):
    origin.on(path, Reply("plain", fields={"Cache-Control": "max-age=60"}))
    secure.on(path, Reply("secure", fields={"Cache-Control": "max-age=60"}))
    assert larder.get(origin.url(path, "localhost")).body == b"plain"
    assert larder.get(secure.url(path, "localhost")).body == b"secure"


@pytest.mark.parametrize("marker", ["HTTPS", "https"])
def test_acng_marker(larder, secure, path, marker):
    """http://HTTPS///host/path is fetched as https://host/path."""
    secure.on(path, Reply("marked", fields={"Cache-Control": "max-age=60"}))
    odd = f"http://{marker}///localhost:{secure.port}{path}"
    answer = larder.get(odd, host=marker)
    assert answer.body == b"marked", answer
    assert larder.get(secure.url(path, "localhost")).hit, "the same cached object"
    assert secure.count(path) == 1


def test_acng_marker_with_curl(larder, secure, path):
    secure.on(path, Reply("marked"))
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "", "-x", larder.url, "--max-time",
         str(20 * PATIENCE), f"http://HTTPS///localhost:{secure.port}{path}"],
        capture_output=True, stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin"})
    assert done.stdout == b"marked", done


def test_wrong_name(larder, origin_with, path):
    server = origin_with("wrong", ["DNS:other.test"])
    server.on(path, Reply("never"))
    answer = larder.get(server.url(path, "localhost"))
    assert answer.status == 502
    assert "name" in answer.text.lower(), "says which check failed"
    assert not server.count(path), "the request must not be sent"


def test_self_signed(larder, origin_with, path):
    server = origin_with("self", ["DNS:localhost"], self_signed=True)
    server.on(path, Reply("never"))
    answer = larder.get(server.url(path, "localhost"))
    assert answer.status == 502
    assert "self" in answer.text.lower() and "sign" in answer.text.lower()
    assert not server.count(path)


def test_expired(larder, origin_with, path):
    server = origin_with("old", ["DNS:localhost"], expired=True)
    server.on(path, Reply("never"))
    answer = larder.get(server.url(path, "localhost"))
    assert answer.status == 502
    assert "expired" in answer.text.lower()
    assert not server.count(path)


def test_unknown_issuer(secure, make, path):
    """Without the tests' CA nothing vouches for the origin."""
    larder = make(env={"SSL_CERT_FILE": "/dev/null"})
    secure.on(path, Reply("never"))
    answer = larder.get(secure.url(path, "localhost"))
    assert answer.status == 502
    assert any(word in answer.text.lower() for word in ("issuer", "verif", "trust"))
    assert not secure.count(path)


def test_plain_text_where_tls_is_expected(larder, path):
    """As an HTTP server answers a ClientHello: with a 400, at once."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            sock.close()
    threading.Thread(target=serve, daemon=True).start()
    try:
        port = listener.getsockname()[1]
        answer = larder.get(f"https://localhost:{port}{path}")
        assert answer.status == 502 and "tls" in answer.text.lower()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_failure_is_not_remembered_as_content(larder, origin_with, path):
    server = origin_with("self2", ["DNS:localhost"], self_signed=True)
    server.on(path, Reply("x"))
    for _ in range(2):
        assert larder.get(server.url(path, "localhost")).status == 502


def test_connection_is_reused(authority, secure, make, path):
    larder = make({"workers": 1}, env={"SSL_CERT_FILE": str(authority.cert)})
    secure.on(path, Reply("x", fields={"Cache-Control": "no-store"}))
    before = secure.connections
    with larder.client() as client:
        for _ in range(4):
            assert client.get(secure.url(path, "localhost")).body == b"x"
    assert secure.connections - before == 1


def test_upload(larder, secure, path):
    body = pattern(3_000_000)
    secure.on(path, lambda x: Reply(str(len(x.read_body()))))
    assert larder.request("POST", secure.url(path, "localhost"), body=body).body == \
        b"3000000"
    assert secure.seen(path)[0].body == body


def test_truncation_by_tcp_close_is_an_abort(larder, secure, path):
    """A close without close_notify behind a close-delimited body: it may have
    been cut by anybody (RFC 9112 9.8)."""
    def cut(exchange):
        exchange.head(200, {"Connection": "close", "Cache-Control": "max-age=60"})
        exchange.send(b"half")
        exchange.close = True
    secure.on(path, cut)
    # Passing it on is tolerated; storing it as whole is not.
    for _ in range(2):
        try:
            answer = larder.get(secure.url(path, "localhost"))
            assert answer.status in (200, 502) and not answer.hit
        except Aborted:
            pass
    assert secure.count(path) == 2
