"""Connections of clients: keep-alive, pipelining, HTTP/1.0, methods."""
import time

import pytest

from harness.daemon import PATIENCE
from harness.origin import Reply, pattern


def test_keep_alive(larder, origin, path):
    """RFC 9112 9.3: HTTP/1.1 persists by default."""
    url = origin.on(path, Reply("x" * 100))
    with larder.client() as client:
        for _ in range(5):
            answer = client.get(url)
            assert answer.status == 200
            assert "close" not in answer.get("Connection", "").lower()


def test_connection_close_is_honoured(larder, origin, path):
    url = origin.on(path, Reply("x"))
    with larder.client() as client:
        answer = client.get(url, {"Connection": "close"})
        assert answer.get("Connection", "").lower() == "close"
        assert client.closed()


def test_http_1_0_closes(larder, origin, path):
    url = origin.on(path, Reply("x"))
    with larder.client() as client:
        answer = client.get(url, version="1.0")
        assert answer.status == 200 and answer.body == b"x"
        assert client.closed()


def test_http_1_0_without_host(larder, origin, path):
    url = origin.on(path, Reply("x"))
    with larder.client() as client:
        client.send(f"GET {url} HTTP/1.0\r\n\r\n")
        assert client.response().body == b"x"


def test_http_1_0_never_gets_chunks(larder, origin, path):
    """RFC 9112 6.1: no transfer coding towards HTTP/1.0."""
    body = pattern(100000)
    url = origin.on(path, Reply(body, framing="chunked"))
    with larder.client() as client:
        answer = client.get(url, version="1.0")
        assert answer.body == body and answer.framing in ("close", "length")


def test_http_1_0_keep_alive(larder, origin, path):
    """If the connection is offered to be kept, the body must be delimited."""
    url = origin.on(path, Reply("abc"))
    with larder.client() as client:
        answer = client.get(url, {"Connection": "keep-alive"}, version="1.0")
        assert answer.body == b"abc"
        if "keep-alive" in answer.get("Connection", "").lower():
            assert answer.framing == "length"
            assert client.get(url, version="1.0").body == b"abc"


def test_pipelining_keeps_order(larder, origin, path):
    """RFC 9112 9.3.2: answers in the order of the requests, slow ones too."""
    urls = []
    for i in range(8):
        at = f"{path}/{i}"
        urls.append(origin.on(at, Reply(f"answer {i}", delay=0.3 if i % 3 == 0 else 0)))
    with larder.client() as client:
        client.send("".join(f"GET {u} HTTP/1.1\r\nHost: x\r\n\r\n" for u in urls)
                    .replace("Host: x", f"Host: {origin.authority}"))
        for i in range(8):
            assert client.response().body == f"answer {i}".encode()


def test_pipelined_post_with_body_between(larder, origin, path):
    url = origin.on(path, lambda x: Reply(x.read_body() or b"none"))
    host = origin.authority
    with larder.client() as client:
        client.send(f"GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n"
                    f"POST {url} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\n"
                    "GET /"
                    f"GET {url}?2 HTTP/1.1\r\nHost: {host}\r\n\r\n")
        bodies = [client.response().body for _ in range(3)]
    assert bodies == [b"none", b"GET /", b"none"]


def test_many_pipelined_hits(larder, origin, path):
    url = origin.on(path, Reply("y" * 2000, fields={"Cache-Control": "max-age=60"}))
    assert larder.get(url).status == 200
    with larder.client() as client:
        client.send(f"GET {url} HTTP/1.1\r\nHost: {origin.authority}\r\n\r\n" * 200)
        assert all(client.response().body == b"y" * 2000 for _ in range(200))
    assert origin.count(path) == 1


def test_request_in_single_bytes(larder, origin, path):
    """A head may come in any number of pieces."""
    url = origin.on(path, Reply("x"))
    with larder.client() as client:
        for char in f"GET {url} HTTP/1.1\r\nHost: {origin.authority}\r\n\r\n":
            client.send(char)
        assert client.response().body == b"x"


def test_empty_lines_before_a_request(larder, origin, path):
    """RFC 9112 2.2: at least one should be ignored."""
    url = origin.on(path, Reply("x"))
    with larder.client() as client:
        client.send(f"\r\nGET {url} HTTP/1.1\r\nHost: {origin.authority}\r\n\r\n")
        assert client.response().body == b"x"


def test_header_timeout(larder):
    """A head that does not end: 408 or a close, after timeouts.header."""
    with larder.client(timeout=10) as client:
        client.send("GET http://127.0.0.1/ HTTP/1.1\r\nHost: ")
        start = time.monotonic()
        try:
            data = client.sock.recv(100)
        except ConnectionResetError:
            data = b""
        took = time.monotonic() - start
        assert data == b"" or b" 408 " in data
        assert 2 < took < 8 * PATIENCE


def test_header_timeout_counts_the_whole_head(larder):
    """Slowloris: a byte now and then does not buy more time."""
    with larder.client(timeout=15) as client:
        client.send("GET http://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        start = time.monotonic()
        try:
            while time.monotonic() - start < 10 * PATIENCE:
                client.send("X-A: b\r\n")
                time.sleep(0.5)
        except OSError:
            pass
        assert time.monotonic() - start < 9 * PATIENCE


def test_idle_connection_is_closed(origin, make, path):
    larder = make({"timeouts": {"idle": "1s"}})
    url = origin.on(path, Reply("x"))
    with larder.client() as client:
        client.get(url)
        assert client.closed(within=6 * PATIENCE)


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "PROPFIND", "PURGE",
                                    "FOO", "M-SEARCH"])
def test_any_method_is_passed_on(larder, origin, path, method):
    """RFC 9110 9.1: a method that is not known is not larder's business."""
    url = origin.on(path, Reply("done"))
    assert larder.request(method, url, body=b"b").body == b"done"
    assert origin.seen(path)[0].method == method


def test_method_is_case_sensitive(larder, origin, path):
    """RFC 9110 9.1: `get` is not GET and never answered from the cache."""
    url = origin.on(path, Reply("x", fields={"Cache-Control": "max-age=60"}))
    larder.get(url)
    answer = larder.request("get", url)
    if answer.status == 200:
        assert [r.method for r in origin.seen(path)] == ["GET", "get"]


def test_head(larder, origin, path):
    url = origin.on(path, Reply("x" * 777))
    with larder.client() as client:
        answer = client.request("HEAD", url)
        assert answer.status == 200 and answer.get("Content-Length") == "777"
        assert client.get(url).body == b"x" * 777, "the connection is still in step"


def test_head_from_stored_get(larder, origin, path):
    """RFC 9110 9.3.2, RFC 9111 4: a stored GET may answer HEAD."""
    url = origin.on(path, Reply("x" * 777, fields={"Cache-Control": "max-age=60"}))
    larder.get(url)
    with larder.client() as client:
        answer = client.request("HEAD", url)
        assert answer.hit and answer.get("Content-Length") == "777"
        assert client.get(url).body == b"x" * 777
    assert origin.count(path) == 1


def test_head_does_not_poison_get(larder, origin, path):
    """A HEAD's answer has no body that could be stored for GET."""
    url = origin.on(path, Reply("full", fields={"Cache-Control": "max-age=60"}))
    assert larder.request("HEAD", url).body == b""
    assert larder.get(url).body == b"full"


def test_options_max_forwards_zero(larder, origin, path):
    """RFC 9110 7.6.2: at zero the recipient answers itself."""
    url = origin.on(path, Reply("origin"))
    answer = larder.request("OPTIONS", url, {"Max-Forwards": "0"})
    assert answer.status in (200, 204) and answer.body != b"origin"
    assert not origin.count(path)


def test_options_max_forwards_counts_down(larder, origin, path):
    url = origin.on(path, Reply("origin"))
    assert larder.request("OPTIONS", url, {"Max-Forwards": "3"}).body == b"origin"
    assert origin.seen(path)[0].get("Max-Forwards") == "2"


def test_trace_max_forwards_zero(larder, origin, path):
    """RFC 9110 9.3.8: reflected by larder, or refused; never forwarded. And no
    credentials in it."""
    url = origin.on(path, Reply("origin"))
    answer = larder.request("TRACE", url, {"Max-Forwards": "0",
                                           "Authorization": "Basic c2VjcmV0"})
    assert answer.status in (200, 405, 501)
    assert b"c2VjcmV0" not in answer.body
    assert not origin.count(path)


def test_get_ignores_max_forwards(larder, origin, path):
    url = origin.on(path, Reply("x"))
    assert larder.get(url, {"Max-Forwards": "0"}).body == b"x"


def test_client_leaves_during_a_pass(larder, origin, path):
    """Nothing is upset by it, and the log says so."""
    url = origin.on(path, Reply(b"z" * 4_000_000, pace=(100_000, 0.05),
                                fields={"Cache-Control": "no-store"}))
    with larder.client() as client:
        client.send_head("GET", url)
        assert client.final_head().status == 200
    entry = larder.access(url, within=8)[0]
    assert entry.result.endswith("_ABORTED"), entry
    assert larder.get(origin.on(path + "/2", Reply("fine"))).body == b"fine"
