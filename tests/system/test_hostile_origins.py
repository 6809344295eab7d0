"""Answers of origins under the rules that hold for requests: what has no one
meaning is a 502 or an aborted transfer, never stored, and never the next
client's answer (RFC 9112 4 to 8, RFC 9110 6, 15)."""
import socket
import struct
import threading
import time

import pytest

from harness.client import Aborted, BadMessage
from harness.daemon import Larder
from harness.recorder import OK, Last, Recorder, Slow

H = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
EVIL = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nevil"
CHUNKED = H + "Transfer-Encoding: chunked\r\n\r\n"


class Stage:
    """A recorder whose answers are set by path; `hold` keeps the connection."""

    def __init__(self):
        self.answers = {}
        self.recorder = Recorder(self.answer)

    def answer(self, seen):
        what = self.answers.get(seen.target, OK)
        if callable(what):
            return what(seen)
        return what.encode("latin-1") if isinstance(what, str) else what

    def count(self, target):
        return len([s for s in self.recorder.seen if s.target == target])


@pytest.fixture(scope="module")
def stage():
    it = Stage()
    yield it
    it.recorder.close()


@pytest.fixture(scope="module")
def proxy(stage):
    instance = Larder({"workers": 1, "timeouts": {"response": "2s"}},
                      sites={"*": f"http://{stage.recorder.authority}"})
    yield instance
    instance.close()


def outcome(proxy, target, method="GET", fields=()):
    """The status, or "aborted"."""
    try:
        answer = proxy.request(method, target, fields, timeout=8)
        return answer.status
    except Aborted:
        return "aborted"


def check_clean(proxy, stage, target):
    """The pool has no poisoned connection, and nothing was stored."""
    stage.answers[target] = OK
    for at in ("/fine/1", "/fine/2", target):
        answer = proxy.get(at)
        assert (answer.status, answer.body) == (200, b"ok"), answer


BAD_HEADS = {
    # RFC 9112 4
    "http-0.9": "<html>hello</html>\r\n",
    "empty-line-first": "\r\n" + EVIL,
    "space-first": " " + EVIL,
    "garbage": "\x00\x01\x02",
    "ssh": "SSH-2.0-OpenSSH_9.2p1\r\n",
    "smtp": "220 mail.test ESMTP\r\n",
    "icy": "ICY 200 OK\r\n\r\n",
    "rtsp": "RTSP/1.0 200 OK\r\n\r\n",
    "http-2": "HTTP/2 200\r\n\r\n",
    "http-2.0": "HTTP/2.0 200 OK\r\n\r\n",
    "http-3.1": "HTTP/3.1 200 OK\r\n\r\n",
    "http-1": "HTTP/1 200 OK\r\n\r\n",
    "http-1.10": "HTTP/1.10 200 OK\r\n\r\n",
    "https": "HTTPS/1.1 200 OK\r\n\r\n",
    "two-spaces": "HTTP/1.1  200 OK\r\n\r\n",
    "tab": "HTTP/1.1\t200 OK\r\n\r\n",
    "200OK": "HTTP/1.1 200OK\r\n\r\n",
    "20": "HTTP/1.1 20 OK\r\n\r\n",
    "1000": "HTTP/1.1 1000 OK\r\n\r\n",
    "099": "HTTP/1.1 099 OK\r\n\r\n",
    "000": "HTTP/1.1 000 OK\r\n\r\n",
    "signed": "HTTP/1.1 +20 OK\r\n\r\n",
    "hex": "HTTP/1.1 0xc OK\r\n\r\n",
    "status-missing": "HTTP/1.1 \r\n\r\n",
    "nul-in-reason": "HTTP/1.1 200 O\x00K\r\n\r\n",
    "bare-cr-in-reason": "HTTP/1.1 200 OK\rSet-Cookie: a=b\r\n\r\n",
    "line-ends-in-lf": "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    # RFC 9112 5
    "folded": H + "X: y\r\n z\r\nContent-Length: 4\r\n\r\nevil",
    "folded-tab": H + "X: y\r\n\tz\r\nContent-Length: 4\r\n\r\nevil",
    "space-before-colon": H + "Content-Length : 4\r\n\r\nevil",
    "space-before-first": "HTTP/1.1 200 OK\r\n X: y\r\n\r\n",
    "empty-name": H + ": y\r\nContent-Length: 4\r\n\r\nevil",
    "no-colon": H + "X\r\nContent-Length: 4\r\n\r\nevil",
    "nul": H + "X: \x00\r\nContent-Length: 4\r\n\r\nevil",
    "bare-cr": H + "X: y\rSet-Cookie: a=b\r\nContent-Length: 4\r\n\r\nevil",
    "bare-lf": H + "X: y\nSet-Cookie: a=b\r\nContent-Length: 4\r\n\r\nevil",
    "end-in-lf": H + "Content-Length: 4\r\n\nevil",
    # RFC 9112 6
    "length-and-chunked": H + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two-lengths": H + "Content-Length: 4\r\nContent-Length: 2\r\n\r\nevil",
    "same-lengths": H + "Content-Length: 4\r\nContent-Length: 4\r\n\r\nevil",
    "length-list": H + "Content-Length: 4, 4\r\n\r\nevil",
    "length-signed": H + "Content-Length: +4\r\n\r\nevil",
    "length-minus": H + "Content-Length: -4\r\n\r\nevil",
    "length-hex": H + "Content-Length: 0x4\r\n\r\nevil",
    "length-empty": H + "Content-Length:\r\n\r\nevil",
    "length-2-63": H + "Content-Length: 9223372036854775808\r\n\r\nevil",
    "length-2-64": H + "Content-Length: 18446744073709551620\r\n\r\nevil",
    "chunked-twice": H + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked-two-lines": H + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked-identity": H + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity": H + "Transfer-Encoding: identity\r\nContent-Length: 4\r\n\r\nevil",
    "gzip": H + "Transfer-Encoding: gzip\r\n\r\n",
    "chunked-vt": H + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked-nbsp": H + "Transfer-Encoding: chunked\xa0\r\n\r\n0\r\n\r\n",
    "chunked-in-1.0": "HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    # RFC 9110 15.2, 15.5.8
    "101": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n" + EVIL,
    "407": "HTTP/1.1 407 Hello\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
    "interim-with-length": "HTTP/1.1 103 Hints\r\nContent-Length: 4\r\n\r\nevil" + EVIL,
    "interim-chunked": "HTTP/1.1 102 Wait\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + EVIL,
    "interim-two-lengths": "HTTP/1.1 103 Hints\r\nContent-Length: 0\r\nContent-Length: 4\r\n\r\n" + EVIL,
    "interim-then-garbage": "HTTP/1.1 103 Hints\r\n\r\ngarbage\r\n\r\n",
    "interim-flood": "HTTP/1.1 103 Hints\r\n\r\n" * 1000 + EVIL,
    "interim-forever": "HTTP/1.1 100 Continue\r\nX: " + "y" * 60_000 + "\r\n\r\n"
                       "HTTP/1.1 100 Continue\r\nX: " + "y" * 70_000,
}


@pytest.mark.parametrize("name", BAD_HEADS)
def test_bad_head_is_502(proxy, stage, name):
    """At once, though the connection stays open: there is nothing to wait for."""
    target = "/head/" + name
    stage.answers[target] = BAD_HEADS[name]
    started = time.monotonic()
    assert outcome(proxy, target) == 502
    assert time.monotonic() - started < 1.5
    check_clean(proxy, stage, target)


def test_end_within_a_head_is_502(proxy, stage):
    for what in (H + "Content-Len", H, "HTTP", "HTTP/1.1 200"):
        stage.answers["/cut"] = lambda seen, what=what: Last(what.encode())
        assert outcome(proxy, "/cut") == 502
    check_clean(proxy, stage, "/cut")


BAD_BODIES = {
    "short": H + "Content-Length: 9\r\n\r\nevil",
    "chunk-0x": CHUNKED + "0x4\r\nevil\r\n0\r\n\r\n",
    "chunk-plus": CHUNKED + "+4\r\nevil\r\n0\r\n\r\n",
    "chunk-space": CHUNKED + "4 \r\nevil\r\n0\r\n\r\n",
    "chunk-lf": CHUNKED + "4\nevil\r\n0\r\n\r\n",
    "chunk-longer": CHUNKED + "4\r\nevil!\r\n0\r\n\r\n",
    "chunk-shorter": CHUNKED + "5\r\nevil\r\n0\r\n\r\n",
    "chunk-no-crlf": CHUNKED + "4\r\nevil0\r\n\r\n",
    "chunk-17-digits": CHUNKED + "00000000000000004\r\nevil\r\n0\r\n\r\n",
    "chunk-2-63": CHUNKED + "8000000000000000\r\nevil",
    "chunk-extension-lf": CHUNKED + "4;a\nb\r\nevil\r\n0\r\n\r\n",
    "chunk-extension-flood": CHUNKED + "1;abcdefgh\r\nx\r\n" * 5000 + "0\r\n\r\n",
    "chunk-end-missing": CHUNKED + "4\r\nevil\r\n",
    "chunk-end-half": CHUNKED + "4\r\nevil\r\n0\r\n",
    "chunk-end-lf": CHUNKED + "4\r\nevil\r\n0\n\n",
    "trailer-length": CHUNKED + "4\r\nevil\r\n0\r\nContent-Length: 9\r\n\r\n",
    "trailer-host": CHUNKED + "4\r\nevil\r\n0\r\nHost: b\r\n\r\n",
    "trailer-folded": CHUNKED + "4\r\nevil\r\n0\r\nX: y\r\n z\r\n\r\n",
    "trailer-head": CHUNKED + "4\r\nevil\r\n0\r\n" + EVIL,
    "trailer-flood": CHUNKED + "4\r\nevil\r\n0\r\n" + "X: y\r\n" * 5000 + "\r\n",
}


@pytest.mark.parametrize("name", BAD_BODIES)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_bad_body_is_an_abort(proxy, stage, name, version):
    target = f"/body/{version}/{name}"

    stage.answers[target] = lambda seen: Last(BAD_BODIES[name].encode("latin-1"))
    try:
        answer = proxy.request("GET", target, version=version, timeout=8)
        assert answer.status == 502, answer
    except Aborted:
        pass
    check_clean(proxy, stage, target)


GOOD = {
    # (the raw answer, the method, the status, the body)
    "bytes-behind-length": (H + "Content-Length: 4\r\n\r\ngood" + EVIL, "GET", 200, b"good"),
    "bytes-behind-chunked": (CHUNKED + "4\r\ngood\r\n0\r\n\r\n" + EVIL, "GET", 200, b"good"),
    "bytes-behind-nothing": (H + "Content-Length: 0\r\n\r\n" + EVIL, "GET", 200, b""),
    "body-of-204": ("HTTP/1.1 204 No\r\n\r\n" + EVIL, "GET", 204, b""),
    "body-of-204-length": ("HTTP/1.1 204 No\r\nContent-Length: 4\r\n\r\nevil", "GET", 204, b""),
    "body-of-204-chunked": ("HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", "GET", 204, b""),
    "body-of-304": ("HTTP/1.1 304 No\r\nETag: \"a\"\r\n\r\n" + EVIL, "GET", 304, b""),
    "body-of-head": (H + "Content-Length: 4\r\n\r\nevil", "HEAD", 200, b""),
    "body-of-head-chunked": (CHUNKED + "4\r\nevil\r\n0\r\n\r\n", "HEAD", 200, b""),
    "answer-behind-head": (H + "Content-Length: 4\r\n\r\n" + EVIL, "HEAD", 200, b""),
    "no-space-behind-status": ("HTTP/1.1 200\r\nContent-Length: 4\r\n\r\ngood", "GET", 200, b"good"),
    "higher-minor": ("HTTP/1.7 200 OK\r\nContent-Length: 4\r\n\r\ngood", "GET", 200, b"good"),
    "unknown-status": ("HTTP/1.1 799 Odd\r\nContent-Length: 4\r\n\r\ngood", "GET", 799, b"good"),
    "length-zeros": (H + "Content-Length: 0004\r\n\r\ngood", "GET", 200, b"good"),
    "unknown-trailers": (CHUNKED + "4\r\ngood\r\n0\r\nSet-Cookie: a=b\r\n\r\n", "GET", 200, b"good"),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_stands_behind_is_nobodys(proxy, stage, name):
    """Response splitting, and queues out of step."""
    raw, method, status, body = GOOD[name]
    target = "/behind/" + name
    stage.answers[target] = raw.replace("max-age=60", "no-store")
    fields = {"If-None-Match": '"a"'} if status == 304 else {}
    answer = proxy.request(method, target, fields)
    assert (answer.status, answer.body) == (status, body)
    assert not answer.trailers
    check_clean(proxy, stage, target)


@pytest.mark.parametrize("name", ["body-of-204-length", "body-of-204-chunked"])
def test_what_comes_later_is_nobodys(proxy, stage, name):
    """The body that a 204 announces comes while the next request is under way."""
    head, _, rest = GOOD[name][0].partition("\r\n\r\n")
    later = threading.Event()

    def slow(seen):
        return head.encode() + b"\r\n\r\n"
    target = "/later/" + name
    stage.answers[target] = slow
    before = stage.recorder.connections
    assert proxy.get(target).status == 204
    stage.answers["/later/next"] = lambda seen: (later.wait(0.2), OK)[1]
    assert proxy.get("/later/next").body == b"ok"
    assert stage.recorder.connections >= before + 1, \
        "the connection may still carry that body"


def test_interim_responses_pass_with_their_fields(proxy, stage):
    """RFC 9110 15.2: 100 (asked for or not), 102, 103 and unknown ones, without
    what is of one hop or of framing; never stored."""
    stage.answers["/interim"] = (
        "HTTP/1.1 100 Continue\r\n\r\n"
        "HTTP/1.1 102 Processing\r\nX: 1\r\nConnection: X-Hop\r\nX-Hop: 2\r\n\r\n"
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 0\r\nKeep-Alive: 5\r\n\r\n"
        "HTTP/1.1 199 Odd\r\n\r\n" + H + "Content-Length: 2\r\n\r\nok")
    answer = proxy.get("/interim")
    assert [(i.status, i.fields) for i in answer.interim] == [
        (100, []), (102, [("X", "1")]), (103, [("Link", "</a>")]), (199, [])]
    assert answer.body == b"ok"
    again = proxy.get("/interim")
    assert again.hit and not again.interim
    stage.answers["/interim/1.0"] = stage.answers["/interim"]
    assert not proxy.get("/interim/1.0", version="1.0").interim


def test_response_trailers(proxy, stage):
    """RFC 9110 6.5.1: to who takes them (TE: trailers), but for those that route,
    frame, authenticate, or are of one hop; announced or not."""
    stage.answers["/trailers"] = (
        "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n"
        "Connection: X-Hop\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum:7\r\nX-Hop: 1\r\n"
        "Set-Cookie: a=b\r\nProxy-Authenticate: Basic\r\nX-Forwarded-Host: a\r\n"
        "Location: /\r\nETag: \"q\"\r\n\r\n")
    answer = proxy.get("/trailers", {"TE": "trailers", "Connection": "TE"})
    assert answer.trailers == [("X-Sum", "7"), ("ETag", '"q"')]
    assert "X-Sum" not in answer and "Set-Cookie" not in answer
    for fields in ({}, {"TE": "gzip"}, {"TE": "trailersx"}):
        answer = proxy.get("/trailers", fields)
        assert answer.body == b"ok" and not answer.trailers and "Trailer" not in answer
    assert proxy.get("/trailers", {"TE": "trailers"}, version="1.0").body == b"ok"


def test_fields_of_one_hop_do_not_pass(proxy, stage):
    stage.answers["/hop"] = (
        H + "Connection: X-Hop, \"q, X-More, Cache-Control, ETag, Set-Cookie\r\nX-Hop: 1\r\nX-More: 1\r\n"
        "Proxy-Authenticate: Basic\r\nProxy-Authentication-Info: a=b\r\nKeep-Alive: timeout=5\r\n"
        "Proxy-Connection: close\r\nUpgrade: h2c\r\nTE: x\r\nTrailer: y\r\nETag: \"a\"\r\n"
        "Authentication-Info: nextnonce=\"1\"\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok")
    for _ in range(2):
        names = {n.lower() for n, _ in proxy.get("/hop").fields}
        assert not names & {"x-hop", "x-more", "proxy-authenticate", "proxy-authentication-info",
                            "keep-alive", "proxy-connection", "upgrade", "te", "trailer"}
        assert names >= {"cache-control", "etag", "authentication-info", "set-cookie"}


def test_drips_of_a_head_end_at_the_timeout(proxy, stage):
    """A byte now and then does not push the end away."""
    def drip(seen):
        return Slow(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200, 0.1)
    stage.answers["/drip"] = drip
    started = time.monotonic()
    assert outcome(proxy, "/drip") == 504
    assert time.monotonic() - started < 5


# ---- a close before the answer: RFC 9110 9.2.2, RFC 9112 9.3.1 ----------

#: method, body, how often it may be sent on connections made for it
ONCE_MORE = {
    "get": ("GET", None, 2),
    "head": ("HEAD", None, 2),
    "options": ("OPTIONS", None, 2),
    "get-with-body": ("GET", b"hello", 1),
    "post": ("POST", None, 1),
    "post-with-body": ("POST", b"hello", 1),
    "put": ("PUT", b"hello", 1),
    "delete": ("DELETE", None, 1),
    "unknown": ("FROB", None, 1),
}


@pytest.mark.parametrize("name", ONCE_MORE)
def test_close_before_the_answer(make, name):
    method, body, most = ONCE_MORE[name]
    stage = Stage()
    larder = make({"workers": 1}, sites={"*": f"http://{stage.recorder.authority}"})
    stage.answers["/x"] = lambda seen: None
    assert larder.request(method, "/x", body=body).status == 502
    assert stage.count("/x") == most
    assert stage.recorder.connections == most
    stage.recorder.close()


def test_answered_the_second_time(make):
    stage = Stage()
    larder = make({"workers": 1}, sites={"*": f"http://{stage.recorder.authority}"})
    stage.answers["/x"] = lambda seen: OK if stage.count("/x") == 2 else None
    assert larder.get("/x").body == b"ok"
    assert stage.count("/x") == 2
    stage.recorder.close()


def test_half_an_answer_is_not_asked_for_again(make):
    """Not a byte of an answer may have come."""
    stage = Stage()
    larder = make({"workers": 1}, sites={"*": f"http://{stage.recorder.authority}"})
    for what in (b"HTTP/1.1 200 OK\r\n", b"H", b"HTTP/1.1 103 Hints\r\n\r\n"):
        stage.recorder.forget()
        stage.answers["/x"] = lambda seen, what=what: Last(what)
        assert larder.get("/x").status == 502
        assert stage.count("/x") == 1
    stage.recorder.close()


def test_a_strict_client_sees_nothing_odd(proxy, stage):
    """Whatever the origin's framing, larder's own is right: the harness's client
    would raise."""
    for i, framing in enumerate(("Content-Length: 4", "Transfer-Encoding: chunked",
                                 "Connection: close")):
        body = "4\r\ngood\r\n0\r\n\r\n" if "chunked" in framing else "good"
        raw = f"{H}{framing}\r\n\r\n{body}".encode()
        stage.answers[f"/framing/{i}"] = lambda seen, raw=raw: Last(raw) if b"close" in raw else raw
        for _ in range(2):
            try:
                assert proxy.get(f"/framing/{i}").body == b"good"
            except BadMessage as e:
                pytest.fail(str(e))


def test_a_reset_in_an_upload_is_no_end(make):
    """What a write has heard of, a read does not: a body up to the end of the connection
    was whole because the origin broke off while it was being sent to."""
    def break_off(sock):
        with sock:
            while b"\r\n\r\n" not in sock.recv(4096):
                pass
            sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf")
            for _ in range(20):
                sock.recv(1 << 16)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def serve():
        try:
            while True:
                break_off(listener.accept()[0])
        except OSError:
            pass

    def upload():
        try:
            while True:
                client.sock.sendall(bytes(20_000))
        except OSError:
            pass
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        larder = make({"workers": 1},
                      sites={"*": "http://127.0.0.1:%d" % listener.getsockname()[1]})
        for _ in range(20):
            with larder.client() as client:
                client.send_head("POST", "/", {"Content-Length": 50_000_000})
                thread = threading.Thread(target=upload)
                thread.start()
                with pytest.raises(Aborted):
                    client.response("POST")
            thread.join()
        listener.shutdown(socket.SHUT_RDWR)
