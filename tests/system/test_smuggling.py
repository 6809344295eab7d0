"""One byte sequence, one meaning: each row is sent as it is, with a request behind
it that must never be one. What the origin gets is read by a strict recorder
(RFC 9112 2 to 7, RFC 9110 7; the public research on request smuggling)."""
import socket
import time

import pytest

from harness.client import Aborted
from harness.daemon import Larder
from harness.recorder import Recorder

G = "GET /good HTTP/1.1\r\nHost: a.test\r\n"
P = "POST /good HTTP/1.1\r\nHost: a.test\r\n"
CHUNKED = P + "Transfer-Encoding: chunked\r\n\r\n"
BEHIND = "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n"


@pytest.fixture(scope="module")
def recorder():
    server = Recorder()
    yield server
    server.close()


@pytest.fixture(scope="module")
def proxy(recorder):
    instance = Larder({"workers": 1}, sites={"*": f"http://{recorder.authority}"})
    yield instance
    instance.close()


def answers(client, methods=()):
    """Statuses of all that comes until the end of the connection."""
    got = []
    try:
        while client.buffer or client.fill():
            method = methods[len(got)] if len(got) < len(methods) else "GET"
            got.append(client.response(method).status)
    except Aborted:
        got.append("aborted")
    except socket.timeout:
        got.append("open")
    return got


def attack(proxy, recorder, data, within=8):
    recorder.forget()
    with proxy.client(timeout=within) as client:
        try:
            client.send(data if isinstance(data, bytes) else data.encode("latin-1"))
        except OSError:
            pass
        return answers(client)


#: (what is sent, the one status that comes before the end)
REFUSED = {
    # request line: RFC 9112 2.2, 2.3, 3
    "tab-before-target": ("GET\t/good HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "tab-before-version": ("GET /good\tHTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "two-spaces-before-version": ("GET /good  HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "vertical-tab-in-line": ("GET\x0b/good HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "form-feed-in-line": ("GET /good\x0cHTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "nbsp-in-line": ("GET\xa0/good HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "space-before-line": (" GET /good HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "tab-line-first": ("\t\r\nGET /good HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "five-empty-lines": ("\r\n" * 5 + G + "\r\n", 400),
    "bare-lf-before-line": ("\n" + G + "\r\n", 400),
    "bare-cr-before-line": ("\r" + G + "\r\n", 400),
    "line-ends-in-lf": ("GET /good HTTP/1.1\nHost: a.test\r\n\r\n", 400),
    "line-ends-in-cr-cr": ("GET /good HTTP/1.1\r\rHost: a.test\r\n\r\n", 400),
    "http-0.9": ("GET /good\r\n\r\n", 400),
    "http-1": ("GET /good HTTP/1\r\nHost: a.test\r\n\r\n", 400),
    "http-1.": ("GET /good HTTP/1.\r\nHost: a.test\r\n\r\n", 400),
    "http-11": ("GET /good HTTP/11\r\nHost: a.test\r\n\r\n", 400),
    "http-1.10": ("GET /good HTTP/1.10\r\nHost: a.test\r\n\r\n", 400),
    "http-01.1": ("GET /good HTTP/01.1\r\nHost: a.test\r\n\r\n", 400),
    "http-2.0": ("GET /good HTTP/2.0\r\nHost: a.test\r\n\r\n", 505),
    "http-lower-case": ("GET /good http/1.1\r\nHost: a.test\r\n\r\n", 400),
    "space-behind-version": ("GET /good HTTP/1.1 \r\nHost: a.test\r\n\r\n", 400),
    "words-behind-version": ("GET /good HTTP/1.1 x\r\nHost: a.test\r\n\r\n", 400),
    "method-with-colon": ("GE:T /good HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "method-too-long": ("M" * 40 + " /good HTTP/1.1\r\nHost: a.test\r\n\r\n", 501),
    # targets: RFC 9112 3.2, RFC 9110 4.2.4, 7.1
    "fragment": ("GET /good#x HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "backslash": ("GET /good\\x HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "backslash-first": ("GET \\good HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "raw-utf-8": ("GET /g\xc3\xb6 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "delete-in-target": ("GET /g\x7f HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "bare-cr-in-target": ("GET /g\rx HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "asterisk-of-get": ("GET * HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "relative": ("GET good HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "authority-of-get": ("GET a.test:80 HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "userinfo": ("GET http://a@b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", 400),
    "userinfo-two": ("GET http://a.test:80@b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", 400),
    "backslash-in-authority": ("GET http://a.test\\@b.test/ HTTP/1.1\r\nHost: b.test\r\n\r\n", 400),
    "percent-in-host": ("GET http://a%2etest/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "port-0": ("GET http://a.test:0/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "port-65536": ("GET http://a.test:65536/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "port-signed": ("GET http://a.test:+80/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "two-ports": ("GET http://a.test:80:80/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "zone-id": ("GET http://[fe80::1%25lo]/ HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "empty-host": ("GET http:///good HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "other-scheme": ("GET file:///etc/passwd HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    # Host: RFC 9112 3.2
    "no-host": ("GET /good HTTP/1.1\r\n\r\n", 400),
    "no-host-absolute": ("GET http://a.test/ HTTP/1.1\r\n\r\n", 400),
    "two-hosts-absolute": ("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n", 400),
    "two-hosts-1.0": ("GET /good HTTP/1.0\r\nHost: a.test\r\nHost: b.test\r\n\r\n", 400),
    "empty-host-field": ("GET /good HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "host-list": ("GET /good HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n", 400),
    "host-nbsp": ("GET /good HTTP/1.1\r\nHost: a.test\xa0\r\n\r\n", 400),
    "host-inner-space": ("GET /good HTTP/1.1\r\nHost: a.test b.test\r\n\r\n", 400),
    "host-port-space": ("GET /good HTTP/1.1\r\nHost: a.test: 80\r\n\r\n", 400),
    "host-path": ("GET /good HTTP/1.1\r\nHost: a.test/x\r\n\r\n", 400),
    "host-fragment": ("GET /good HTTP/1.1\r\nHost: a.test#x\r\n\r\n", 400),
    "host-folded": ("GET /good HTTP/1.1\r\nHost:\r\n a.test\r\n\r\n", 400),
    "host-bad-with-absolute": ("GET http://a.test/ HTTP/1.1\r\nHost: a.test@b\r\n\r\n", 400),
    # fields: RFC 9112 5, RFC 9110 5
    "space-before-colon": (P + "Content-Length : 5\r\n\r\nhello", 400),
    "tab-before-colon": (P + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400),
    "vt-before-colon": (P + "Transfer-Encoding\x0b: chunked\r\n\r\n0\r\n\r\n", 400),
    "ff-before-colon": (P + "Transfer-Encoding\x0c: chunked\r\n\r\n0\r\n\r\n", 400),
    "nul-before-colon": (P + "Transfer-Encoding\x00: chunked\r\n\r\n0\r\n\r\n", 400),
    "nbsp-before-colon": (P + "Transfer-Encoding\xa0: chunked\r\n\r\n0\r\n\r\n", 400),
    "space-before-first-field": ("GET /good HTTP/1.1\r\n X: y\r\nHost: a.test\r\n\r\n", 400),
    "folded": (G + "X: y\r\n z\r\n\r\n", 400),
    "folded-empty": (G + "X: y\r\n \r\n\r\n", 400),
    "folded-length": (P + "Content-Length:\r\n 5\r\n\r\nhello", 400),
    "folded-coding": (P + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "bare-lf-field": (G + "X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "bare-cr-field": (G + "X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "lf-cr": (G + "X: y\n\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "head-ends-in-lf-lf": (G + "X: y\n\n", 400),
    "head-ends-in-crlf-lf": (G + "X: y\r\n\n", 400),
    "nul-in-value": (G + "X: y\x00\r\n\r\n", 400),
    "bell-in-value": (G + "X: y\x07\r\n\r\n", 400),
    "empty-name": (G + ": chunked\r\n\r\n", 400),
    "line-without-colon": (G + "chunked\r\n\r\n", 400),
    "name-with-space": (G + "Transfer Encoding: chunked\r\n\r\n", 400),
    "name-with-slash": (G + "X/Y: z\r\n\r\n", 400),
    "name-with-comma": (G + "Host,X: z\r\n\r\n", 400),
    # framing: RFC 9112 6
    "te-cl": (P + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
    "cl-te": (P + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "cl-0-te": (P + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "get-cl-te": (G + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "cl-cl": (P + "Content-Length: 0\r\nContent-Length: 44\r\n\r\n", 400),
    "cl-cl-same": (P + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    "cl-list-same": (P + "Content-Length: 5, 5\r\n\r\nhello", 400),
    "cl-list": (P + "Content-Length: 0, 5\r\n\r\nhello", 400),
    "cl-plus": (P + "Content-Length: +5\r\n\r\nhello", 400),
    "cl-minus-0": (P + "Content-Length: -0\r\n\r\n", 400),
    "cl-hex": (P + "Content-Length: 0x5\r\n\r\nhello", 400),
    "cl-octal-prefix": (P + "Content-Length: 0o5\r\n\r\nhello", 400),
    "cl-float": (P + "Content-Length: 5.0\r\n\r\nhello", 400),
    "cl-exponent": (P + "Content-Length: 5e0\r\n\r\nhello", 400),
    "cl-underscore": (P + "Content-Length: 1_0\r\n\r\nhellohello", 400),
    "cl-space-inside": (P + "Content-Length: 1 0\r\n\r\nhellohello", 400),
    "cl-quoted": (P + "Content-Length: \"5\"\r\n\r\nhello", 400),
    "cl-empty": (P + "Content-Length:\r\n\r\n", 400),
    "cl-vt": (P + "Content-Length: 5\x0b\r\n\r\nhello", 400),
    "cl-nel": (P + "Content-Length: 5\x85\r\n\r\nhello", 400),
    "cl-nbsp": (P + "Content-Length: \xa05\r\n\r\nhello", 400),
    "cl-2-63": (P + "Content-Length: 9223372036854775808\r\n\r\nhello", 400),
    "cl-2-64": (P + "Content-Length: 18446744073709551616\r\n\r\nhello", 400),
    "cl-2-64-5": (P + "Content-Length: 18446744073709551621\r\n\r\nhello", 400),
    "cl-20-digits": (P + "Content-Length: 99999999999999999999\r\n\r\nhello", 400),
    "te-x": (P + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "te-chunkedx": (P + "Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", 400),
    "te-two-lines": (P + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", 400),
    "te-two-lines-chunked": (P + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "te-identity-chunked": (P + "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "te-twice": (P + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "te-identity": (P + "Transfer-Encoding: identity\r\n\r\n", 400),
    "te-chunked-identity": (P + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "te-gzip": (P + "Transfer-Encoding: gzip\r\n\r\n", 400),
    "te-gzip-chunked": (P + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "te-comma-first": (P + "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 501),
    "te-comma-last": (P + "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", 501),
    "te-parameter": (P + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400),
    "te-quoted": (P + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400),
    "te-empty": (P + "Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
    "te-vt": (P + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "te-ff": (P + "Transfer-Encoding: chunked\x0c\r\n\r\n0\r\n\r\n", 400),
    "te-nel": (P + "Transfer-Encoding: chunked\x85\r\n\r\n0\r\n\r\n", 400),
    "te-nbsp": (P + "Transfer-Encoding: \xa0chunked\r\n\r\n0\r\n\r\n", 400),
    "te-in-1.0": ("POST /good HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "te-in-1.0-keep-alive": ("POST /good HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    # RFC 9110 9.3.6, 10.1.1
    "connect-with-body": ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nContent-Length: 5\r\n\r\nhello", 400),
    "connect-chunked": ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "connect-with-path": ("CONNECT a.test:443/ HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 400),
    "connect-absolute": ("CONNECT http://a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n", 400),
    "connect-no-port": ("CONNECT a.test HTTP/1.1\r\nHost: a.test\r\n\r\n", 400),
    "connect-other-port": ("CONNECT a.test:25 HTTP/1.1\r\nHost: a.test:25\r\n\r\n", 403),
    "connect-expecting": ("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nExpect: x\r\n\r\n", 417),
    "expect-other": (P + "Expect: 200-ok\r\nContent-Length: 44\r\n\r\n", 417),
    "expect-list": (P + "Expect: 100-continue, x\r\nContent-Length: 44\r\n\r\n", 417),
    "expect-twice": (P + "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 44\r\n\r\n", 417),
    "expect-with-more": (P + "Expect: y 100-continue\r\nContent-Length: 44\r\n\r\n", 417),
    "trace-with-body": ("TRACE /good HTTP/1.1\r\nHost: a.test\r\nContent-Length: 44\r\n\r\n", 405),
    "options-asterisk-with-body": ("OPTIONS * HTTP/1.1\r\nHost: a.test\r\nContent-Length: 44\r\n\r\n", 200),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_and_nothing_behind_it(proxy, recorder, name):
    data, status = REFUSED[name]
    assert attack(proxy, recorder, data + BEHIND * 2) == [status]
    assert not recorder.bytes and not recorder.wrong, recorder.bytes


@pytest.mark.parametrize("name", ["cl-te", "te-x", "space-before-colon", "host-list", "fragment"])
def test_refused_behind_a_good_one(proxy, recorder, name):
    """RFC 9112 9.3.2: the first has its answer, then the refusal, then the end."""
    data, status = REFUSED[name]
    assert attack(proxy, recorder, G + "\r\n" + data + BEHIND) == [200, status]
    assert [s.target for s in recorder.seen] == ["/good"] and not recorder.wrong


BAD_CHUNKS = {
    # RFC 9112 7.1: sizes
    "0x": "0x5\r\nhello\r\n0\r\n\r\n",
    "plus": "+5\r\nhello\r\n0\r\n\r\n",
    "minus": "-5\r\nhello\r\n0\r\n\r\n",
    "leading-space": " 5\r\nhello\r\n0\r\n\r\n",
    "trailing-space": "5 \r\nhello\r\n0\r\n\r\n",
    "trailing-tab": "5\t\r\nhello\r\n0\r\n\r\n",
    "empty": "\r\nhello\r\n0\r\n\r\n",
    "not-hex": "5g\r\nhello\r\n0\r\n\r\n",
    "underscore": "0_5\r\nhello\r\n0\r\n\r\n",
    "quoted": "\"5\"\r\nhello\r\n0\r\n\r\n",
    "17-digits": "00000000000000005\r\nhello\r\n0\r\n\r\n",
    "2-64-and-5": "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "2-63": "8000000000000000\r\nhello\r\n0\r\n\r\n",
    # line ends
    "size-lf": "5\nhello\r\n0\r\n\r\n",
    "size-cr": "5\rhello\r\n0\r\n\r\n",
    "size-cr-cr-lf": "5\r\r\nhello\r\n0\r\n\r\n",
    "data-lf": "5\r\nhello\n0\r\n\r\n",
    "data-without-end": "5\r\nhello0\r\n\r\n",
    "data-other-end": "5\r\nhelloXX0\r\n\r\n",
    "data-longer": "5\r\nhello!\r\n0\r\n\r\n",
    "data-shorter": "5\r\nhell\r\n0\r\n\r\n",
    "last-lf": "5\r\nhello\r\n0\n\r\n",
    "end-lf": "5\r\nhello\r\n0\r\n\n",
    "end-cr": "5\r\nhello\r\n0\r\n\rX",
    "end-missing": "5\r\nhello\r\n0\r\n",
    # extensions
    "extension-lf": "5;a\nhello\r\n0\r\n\r\n",
    "extension-lf-size": "2;\nxx\r\n26\r\n0\r\n\r\n",
    "extension-cr": "5;a\rb\r\nhello\r\n0\r\n\r\n",
    "extension-nul": "5;a=\x00\r\nhello\r\n0\r\n\r\n",
    "extension-quoted-lf": "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
    "extension-quoted-crlf": "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
    "extension-empty": "5;\r\nhello\r\n0\r\n\r\n",
    "extension-no-name": "5;=x\r\nhello\r\n0\r\n\r\n",
    "extension-no-semicolon": "5 a=b\r\nhello\r\n0\r\n\r\n",
    "extension-flood": "5" + ";a=b" * 10_000 + "\r\nhello\r\n0\r\n\r\n",
    # trailers
    "trailer-length": "0\r\nContent-Length: 44\r\n\r\n",
    "trailer-coding": "0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "trailer-host": "0\r\nHost: b.test\r\n\r\n",
    "trailer-lf": "0\r\nX: y\n\r\n",
    "trailer-bare-cr": "0\r\nX: y\rZ: z\r\n\r\n",
    "trailer-folded": "0\r\nX: y\r\n z\r\n\r\n",
    "trailer-space-colon": "0\r\nX : y\r\n\r\n",
    "trailer-request": "0\r\n" + BEHIND,
    "trailer-flood": "0\r\n" + "X: y\r\n" * 5_000 + "\r\n",
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_bad_chunks_are_no_body(proxy, recorder, name):
    """CVE-2023-46846, CVE-2025-30346: the origin sees at most a part of one."""
    got = attack(proxy, recorder, CHUNKED + BAD_CHUNKS[name] + BEHIND * 2)
    assert got == [400], got
    assert not recorder.seen, recorder.seen
    assert not recorder.wrong, recorder.wrong
    assert b"smuggled" not in b"".join(recorder.bytes)


def chunked(*lines):
    return CHUNKED + "\r\n".join(lines)


#: (what is sent, the statuses, [(method, target, body)] at the origin)
TAKEN = {
    "two-in-a-row": (G + "\r\n" + BEHIND, [200, 200],
                     [("GET", "/good", b""), ("GET", "/smuggled", b"")]),
    "empty-lines-first": ("\r\n" * 4 + G + "\r\n", [200], [("GET", "/good", b"")]),
    "http-1.2": ("GET /good HTTP/1.2\r\nHost: a.test\r\n\r\n", [200], [("GET", "/good", b"")]),
    "leading-zeros": (P + "Content-Length: 0005\r\n\r\nhello", [200], [("POST", "/good", b"hello")]),
    "length-tab": (P + "Content-Length:\t5\t\r\n\r\nhello", [200], [("POST", "/good", b"hello")]),
    "chunked-case": (P + "Transfer-Encoding: \tChunKed \r\n\r\n5\r\nhello\r\n0\r\n\r\n", [200],
                     [("POST", "/good", b"hello")]),
    "chunk-extensions": (chunked("5;a=b ; c=\"d;\\\"e\"", "hello", "0;x", "", ""), [200],
                         [("POST", "/good", b"hello")]),
    "chunk-zeros": (chunked("0000000000000005", "hello", "000", "", ""), [200],
                    [("POST", "/good", b"hello")]),
    "chunked-get": (G + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", [200],
                    [("GET", "/good", b"hello")]),
    "get-with-body": (G + "Content-Length: %d\r\n\r\n" % len(BEHIND) + BEHIND, [200],
                      [("GET", "/good", BEHIND.encode())]),
    "head-with-body": ("HEAD /good HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
                       [200], [("HEAD", "/good", b"hello")]),
    "unknown-method-with-body": ("PURGE /good HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
                                 [200], [("PURGE", "/good", b"hello")]),
    "two-slashes": ("GET //b.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n", [200],
                    [("GET", "//b.test/x", b"")]),
    "dots-stay": ("GET /a/../b/./%2e%2E//?? HTTP/1.1\r\nHost: a.test\r\n\r\n", [200],
                  [("GET", "/a/../b/./%2e%2E//??", b"")]),
    "backslash-in-query": ("GET /good?\\ HTTP/1.1\r\nHost: a.test\r\n\r\n", [200],
                           [("GET", "/good?\\", b"")]),
    "obs-text": (G + "X: \x85\xa0\r\n\r\n", [200], [("GET", "/good", b"")]),
    "empty-value": (G + "X:\r\n\r\n", [200], [("GET", "/good", b"")]),
}


@pytest.mark.parametrize("name", TAKEN)
def test_taken_as_one_request_each(proxy, recorder, name):
    """What has one meaning arrives written anew, and in step."""
    data, statuses, expected = TAKEN[name]
    recorder.forget()
    with proxy.client(timeout=8) as client:
        client.send(data.encode("latin-1"))
        method = expected[0][0]
        assert [client.response(method).status for _ in statuses] == statuses
        # In step: another one on the same connection.
        client.send("GET /after HTTP/1.1\r\nHost: a.test\r\n\r\n")
        assert client.response().status == 200
    assert not recorder.wrong, recorder.wrong
    assert [(s.method, s.target, s.body) for s in recorder.seen] == \
        expected + [("GET", "/after", b"")]


def test_a_body_of_get_has_its_origin_connection_for_itself(proxy, recorder):
    """An origin that does not look for a body behind GET takes it for a request
    (CL.0): nobody else's request may follow on that connection."""
    before = recorder.connections
    with proxy.client() as client:
        client.send(G + "Content-Length: 5\r\n\r\nhello")
        assert client.response().status == 200
        client.send(G + "\r\n")
        assert client.response().status == 200
    assert recorder.connections >= before + 1
    used = recorder.connections
    with proxy.client() as client:
        client.send(G + "Content-Length: 5\r\n\r\nhello")
        assert client.response().status == 200
        client.send(G + "\r\n")
        assert client.response().status == 200
    assert recorder.connections == used + 1


def test_request_trailers(proxy, recorder):
    """RFC 9110 6.5.1: written anew; what routes, frames or authenticates, and
    what Connection names, does not pass."""
    recorder.forget()
    with proxy.client() as client:
        client.send(P + "Transfer-Encoding: chunked\r\nConnection: X-Hop\r\n\r\n"
                    "5\r\nhello\r\n0\r\nX-Sum:1\r\nx-hop: 2\r\nAuthorization: 3\r\n"
                    "Proxy-Authorization: 4\r\nX-Forwarded-Host: 5\r\nX-HTTP-Method-Override: 6\r\n"
                    "Content-Type: 7\r\nContent-Disposition: 8\r\nContent-Digest: 9\r\n"
                    "Cookie: 10\r\nProxy-X: 11\r\nCache-Control: 12\r\n\r\n")
        assert client.response().status == 200
    assert recorder.seen[0].trailers == [("X-Sum", "1"), ("Content-Digest", "9")]
    assert not recorder.wrong


def test_hop_by_hop_fields_stay_here(proxy, recorder):
    """RFC 9110 7.6.1, 7.8, 11.7: and what must not be named by Connection
    (CVE-2022-31813) goes on."""
    recorder.forget()
    with proxy.client() as client:
        client.send(G + "Connection: close, X-Foo, , \"x, X-Bar, Authorization, Cookie, "
                    "X-Forwarded-For, Cache-Control, Host, Content-Length\r\n"
                    "Connection: upgrade,te,HTTP2-Settings\r\n"
                    "X-Foo: 1\r\nX-Bar: 1\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
                    "Proxy-Connection: keep-alive\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n"
                    "Proxy-Authorization: Basic YTpi\r\nProxy-Authenticate: Basic\r\n"
                    "Trailer: X-Sum\r\nAuthorization: Basic Yzpk\r\nCookie: c=d\r\n"
                    "X-Forwarded-For: 192.0.2.1\r\nCache-Control: no-cache\r\nX-End: 1\r\n\r\n")
        assert client.response().status == 200
        assert client.closed()
    names = {n.lower() for n, _ in recorder.seen[0].fields}
    assert not names & {"x-foo", "x-bar", "upgrade", "http2-settings", "proxy-connection",
                        "keep-alive", "te", "proxy-authorization", "proxy-authenticate",
                        "trailer"}
    assert names >= {"host", "authorization", "cookie", "x-forwarded-for",
                     "cache-control", "x-end", "via"}


def test_underscores_do_not_hide_framing(proxy, recorder):
    """CGI and its heirs (RFC 3875 4.1.18) take an underscore for a hyphen: what frames a
    message or is for one hop does not go on so spelled, nor in trailers."""
    recorder.forget()
    with proxy.client() as client:
        client.send("POST /u HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
                    "Transfer_Encoding: identity\r\nContent_Length: 0\r\n"
                    "Proxy_Authorization: Basic YTpi\r\nKeep_Alive: 5\r\n"
                    "X_Foo: 1\r\nTE_: 1\r\n\r\n"
                    "4\r\nbody\r\n0\r\nX_Sum: 1\r\nContent_Type: a/b\r\n\r\n")
        assert client.response().status == 200
    seen = recorder.seen[0]
    assert seen.body == b"body" and [n for n, _ in seen.trailers] == ["X_Sum"]
    names = {n.lower() for n, _ in seen.fields}
    assert not names & {"transfer_encoding", "content_length", "proxy_authorization",
                        "keep_alive"}
    assert names >= {"x_foo", "te_"}
    with proxy.client() as client:
        client.send("POST /u HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "0\r\nContent_Length: 4\r\n\r\n")
        assert client.response().status == 400


def test_underscores_and_case_in_names_of_hosts(make, recorder):
    """Case and the port that the scheme has anyway make no other key and no
    other Host; an absolute target replaces Host (RFC 9112 3.2.2)."""
    larder = make({"workers": 1}, sites={"*": f"http://{recorder.authority}"})
    recorder.forget()
    with larder.client() as client:
        for host in ("a_b.test", "A_B.Test:80", "a_b.TEST:"):
            client.send(f"GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n")
            assert client.response().status == 200
        client.send(f"GET http://{recorder.authority}/y HTTP/1.1\r\nHost: other.test\r\n\r\n")
        assert client.response().status == 200
    assert [s.all("Host") for s in recorder.seen] == \
        [["a_b.test"]] * 3 + [[recorder.authority]]


def test_pipelined_behind_a_body_cut_off(proxy, recorder):
    """The end inside a body is no end of it."""
    recorder.forget()
    with proxy.client(timeout=5) as client:
        client.send(P + "Content-Length: 10\r\n\r\nhello")
        client.sock.shutdown(socket.SHUT_WR)
        assert answers(client) in ([400], ["aborted"], [])
    time.sleep(0.1)
    assert not recorder.seen and not recorder.wrong


def test_a_size_beyond_32_bits_is_no_small_one(proxy, recorder):
    """2^32 + 5 is not 5."""
    recorder.forget()
    with proxy.client(timeout=5) as client:
        client.send(CHUNKED + "100000005\r\nhello\r\n0\r\n\r\n" + BEHIND)
        client.sock.shutdown(socket.SHUT_WR)
        assert answers(client) == [400]
    assert not recorder.seen and not recorder.wrong


def test_one_byte_at_a_time(proxy, recorder):
    """The meaning does not hang on how the bytes come."""
    recorder.forget()
    data = P + "Transfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nX-T: y\r\n\r\n"
    with proxy.client(timeout=8) as client:
        for byte in data:
            client.send(byte)
        assert client.response().status == 200
    assert [(s.body, s.trailers) for s in recorder.seen] == [(b"hello", [("X-T", "y")])]


@pytest.mark.parametrize("name", ["2-63", "data-longer", "trailer-host"])
def test_refused_in_pieces(proxy, recorder, name):
    recorder.forget()
    with proxy.client(timeout=8) as client:
        try:
            for byte in CHUNKED + BAD_CHUNKS[name] + BEHIND:
                client.send(byte)
        except OSError:
            pass
        got = answers(client)
    assert got in ([400], ["aborted"]), got
    assert not recorder.seen and b"smuggled" not in b"".join(recorder.bytes)
