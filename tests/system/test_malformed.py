"""Requests that have no one meaning are refused, and the connection ends
(RFC 9112; the classes of holes in FIELD). Nothing of them reaches the origin."""
import pytest

from harness.client import Aborted
from harness.daemon import PATIENCE
from harness.origin import Reply


def exchange(larder, data, statuses):
    """Sends raw bytes; the one answer must be of `statuses`, then the end."""
    with larder.client(timeout=8) as client:
        try:
            client.send(data)
        except (ConnectionResetError, BrokenPipeError):
            pass  # refused while it was being sent
        answer = client.response()
        assert answer.status in statuses, answer
        assert client.closed(5 * PATIENCE), "the connection must end"
        return answer


HEAD = "GET {url} HTTP/1.1\r\nHost: {host}\r\n"
POST = "POST {url} HTTP/1.1\r\nHost: {host}\r\n"
SMUGGLED = "GET {url}?smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n"

BAD = {
    # request line, RFC 9112 3
    "no-version": "GET {url}\r\n\r\n",
    "lower-case-version": "GET {url} http/1.1\r\nHost: {host}\r\n\r\n",
    "two-spaces": "GET  {url} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "tab-separators": "GET\t{url}\tHTTP/1.1\r\nHost: {host}\r\n\r\n",
    "leading-space": " GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "trailing-space": "GET {url} HTTP/1.1 \r\nHost: {host}\r\n\r\n",
    "space-in-target": "GET {url} x HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "control-in-target": "GET {url}\x01 HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "nul-in-target": "GET {url}\x00 HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "bad-method": "GE(T {url} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "no-method": "{url} HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "binary": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "http-1.10": "GET {url} HTTP/1.10\r\nHost: {host}\r\n\r\n",
    # fields, RFC 9112 5
    "space-before-colon": HEAD + "X-A : b\r\n\r\n",
    "empty-name": HEAD + ": b\r\n\r\n",
    "no-colon": HEAD + "X-A\r\n\r\n",
    "obs-fold": HEAD + "X-A: b\r\n c\r\n\r\n",
    "fold-at-start": "GET {url} HTTP/1.1\r\n Host: {host}\r\n\r\n",
    "nul-in-value": HEAD + "X-A: b\x00c\r\n\r\n",
    "bare-cr-in-value": HEAD + "X-A: b\rX-B: c\r\n\r\n",
    "control-in-value": HEAD + "X-A: b\x0bc\r\n\r\n",
    "name-not-ascii": HEAD + "X-\xe9: b\r\n\r\n",
    # Host, RFC 9112 3.2
    "no-host": "GET /path HTTP/1.1\r\n\r\n",
    "two-hosts": HEAD + "Host: other.test\r\n\r\n",
    "two-same-hosts": HEAD + "Host: {host}\r\n\r\n",
    "host-list": "GET /p HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n",
    "host-with-path": "GET /p HTTP/1.1\r\nHost: a.test/x\r\n\r\n",
    "host-with-userinfo": "GET /p HTTP/1.1\r\nHost: u@a.test\r\n\r\n",
    "host-bad-port": "GET /p HTTP/1.1\r\nHost: a.test:x\r\n\r\n",
    "host-port-too-large": "GET /p HTTP/1.1\r\nHost: a.test:65536\r\n\r\n",
    # framing, RFC 9112 6: what smuggling is made of
    "length-and-chunked": POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two-lengths": POST + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd" + SMUGGLED,
    "length-list": POST + "Content-Length: 3, 4\r\n\r\nabcd" + SMUGGLED,
    "length-plus": POST + "Content-Length: +3\r\n\r\nabc" + SMUGGLED,
    "length-minus": POST + "Content-Length: -1\r\n\r\n" + SMUGGLED,
    "length-hex": POST + "Content-Length: 0x3\r\n\r\nabc" + SMUGGLED,
    "length-empty": POST + "Content-Length:\r\n\r\n" + SMUGGLED,
    "length-space-inside": POST + "Content-Length: 1 0\r\n\r\nabc" + SMUGGLED,
    "length-overflow": POST + "Content-Length: 18446744073709551617\r\n\r\na" + SMUGGLED,
    "chunked-twice": POST + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked-not-last": POST + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked-obscured": POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked-vertical-tab": POST + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunked-quoted": POST + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "identity": POST + "Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc" + SMUGGLED,
    "chunked-in-1.0": "POST {url} HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "name-space-colon-te": POST + "Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\nabc" + SMUGGLED,
}


@pytest.mark.parametrize("name", BAD)
def test_refused(larder, origin, path, name):
    url = origin.on(path, Reply("reached"))
    data = BAD[name].format(url=url, host=origin.authority)
    exchange(larder, data.encode("latin-1"), {400, 501, 505, 431})
    assert not origin.count(path), f"the origin was asked:\n{origin.seen(path)}"


BAD_CHUNKS = {
    "not-hex": "g\r\nabc\r\n0\r\n\r\n",
    "negative": "-1\r\nabc\r\n0\r\n\r\n",
    "hex-prefix": "0x3\r\nabc\r\n0\r\n\r\n",
    "plus": "+3\r\nabc\r\n0\r\n\r\n",
    "leading-space": " 3\r\nabc\r\n0\r\n\r\n",
    "overflow": "10000000000000003\r\nabc\r\n0\r\n\r\n",
    "no-crlf-behind": "3\r\nabcd0\r\n\r\n",
    "lf-behind": "3\r\nabc\n0\r\n\r\n",
    "bare-lf-size": "3\nabc\r\n0\r\n\r\n",
    "cr-in-extension": "3;a\rb\r\nabc\r\n0\r\n\r\n",
    "lf-in-extension": "3;a\nb\r\nabc\r\n0\r\n\r\n",
    "empty-size": "\r\nabc\r\n0\r\n\r\n",
    "endless-extension": "3;" + "x" * 200_000,
    "endless-size": "0" * 200_000,
    "endless-trailers": "0\r\n" + "X-T: y\r\n" * 50_000,
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_bad_chunks(larder, origin, path, name):
    """RFC 9112 7.1. The head was fine: the origin may have been asked, but the
    body it sees must not end as if it were whole, and nothing may follow."""
    whole = []

    def handler(x):
        whole.append(x.read_body())
        return Reply("reached")
    handler.reads_body = True
    url = origin.on(path, handler)
    data = (POST + "Transfer-Encoding: chunked\r\n\r\n").format(
        url=url, host=origin.authority) + BAD_CHUNKS[name]
    smuggled = f"GET {url}?smuggled HTTP/1.1\r\nHost: {origin.authority}\r\n\r\n"
    with larder.client(timeout=8) as client:
        try:
            client.send(data + smuggled)
            answer = client.response()
            assert answer.status in (400, 413, 431, 502), answer
            assert client.closed(5 * PATIENCE)
        except (Aborted, ConnectionResetError, BrokenPipeError):
            pass
    assert not whole, "the origin saw a whole body"
    assert not any("smuggled" in r.target for r in origin.requests)


def test_bare_lf_head_is_one_meaning_or_none(larder, origin, path):
    """RFC 9112 2.2: a bare LF may be taken for a line's end, or refused."""
    url = origin.on(path, Reply("x"))
    with larder.client(timeout=8) as client:
        client.send(f"GET {url} HTTP/1.1\nHost: {origin.authority}\n\n")
        assert client.response().status in (200, 400)


def test_identical_lengths_are_one(larder, origin, path):
    """RFC 9112 6.3: the same length twice may be taken for one, or refused.
    Never both fields passed on."""
    url = origin.on(path, Reply("x"))
    with larder.client(timeout=8) as client:
        client.send(f"POST {url} HTTP/1.1\r\nHost: {origin.authority}\r\n"
                    "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc")
        assert client.response().status in (200, 400)
    for request in origin.seen(path):
        assert request.all("Content-Length") == ["3"]


def test_unknown_transfer_coding(larder, origin, path):
    """RFC 9112 6.1: 501 for a coding that is not understood (or 400)."""
    data = (POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n").format(
        url=origin.on(path, Reply("x")), host=origin.authority)
    exchange(larder, data.encode(), {501, 400})
    assert not origin.count(path)


@pytest.mark.parametrize("version", ["2.0", "3.0", "0.9", "9.9"])
def test_version(larder, origin, path, version):
    """RFC 9110 15.6.6."""
    data = f"GET {origin.on(path, Reply('x'))} HTTP/{version}\r\nHost: h\r\n\r\n"
    exchange(larder, data.encode(), {505, 400})


def test_http_2_preface(larder):
    exchange(larder, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {505, 400})


def test_long_target(larder, origin, path):
    """RFC 9110 15.5.15."""
    url = origin.on(path, Reply("x")) + "?" + "a" * 200_000
    exchange(larder, f"GET {url} HTTP/1.1\r\nHost: h\r\n\r\n".encode(), {414})
    assert not origin.count(path)


def test_8000_octets_of_target_pass(larder, origin, path):
    """RFC 9112 3: recipients should support at least 8000 octets."""
    url = origin.on(path, Reply("x")) + "?" + "a" * 8000
    assert larder.get(url).body == b"x"


def test_large_field(larder, origin, path):
    """RFC 6585 5."""
    data = HEAD.format(url=origin.on(path, Reply("x")), host=origin.authority) + \
        "X-A: " + "a" * 1_000_000 + "\r\n\r\n"
    exchange(larder, data.encode(), {431})
    assert not origin.count(path)


def test_flood_of_fields(larder, origin, path):
    data = HEAD.format(url=origin.on(path, Reply("x")), host=origin.authority) + \
        "".join(f"X-{i}: b\r\n" for i in range(50_000)) + "\r\n"
    exchange(larder, data.encode(), {431})
    assert not origin.count(path)


def test_usual_heads_are_not_too_large(larder, origin, path):
    """A browser's 12 KiB of cookies, 60 fields: no reason to refuse."""
    url = origin.on(path, Reply("x"))
    fields = [("Cookie", "c=" + "d" * 12_000)] + [(f"X-{i}", "v") for i in range(60)]
    assert larder.get(url, fields).status == 200


def test_endless_line_is_not_collected(larder):
    """Without a line's end there is an answer, or the end, before 4 MiB."""
    with larder.client(timeout=8) as client:
        try:
            for _ in range(64):
                client.send(b"A" * 65536)
        except OSError:
            return
        try:
            assert client.response().status in (400, 414, 431, 501)
        except Aborted:
            pass


def test_errors_are_plain_text_of_our_own(larder):
    answer = exchange(larder, b"GET / HTTP/1.1\r\n\r\n", {400})
    assert answer.get("Content-Type", "").startswith("text/plain")
    assert answer.get("Connection", "").lower() == "close"
    assert answer.body.strip()


def test_good_client_beside_bad_ones(larder, origin, path):
    url = origin.on(path, Reply("x"))
    with larder.client() as good:
        assert good.get(url).status == 200
        exchange(larder, b"\x00\r\n\r\n", {400})
        assert good.get(url).status == 200
