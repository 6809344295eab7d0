"""Bodies both ways: framing, streaming, Expect, trailers, interim."""
import hashlib
import socket
import threading
import time

import pytest

from harness.client import Aborted
from harness.daemon import PATIENCE, sanitized, wait_for
from harness.origin import Reply, pattern, reads_body


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("cacheable", [False, True])
@pytest.mark.parametrize("size", [0, 1, 16384, 300_000, 3_000_000])
def test_response_framings(larder, origin, path, framing, cacheable, size):
    """RFC 9112 6.3, and the same bytes again from the cache."""
    body = pattern(size)
    control = "max-age=60" if cacheable else "no-store"
    url = origin.on(path, Reply(body, framing=framing, fields={"Cache-Control": control}))
    with larder.client() as client:
        for _ in range(2):
            answer = client.get(url)
            assert answer.body == body
            assert answer.framing in ("length", "chunked"), "the connection persists"
    assert origin.count(path) == (1 if cacheable else 2)


@pytest.mark.parametrize("status", [204, 304])
def test_bodiless_statuses(larder, origin, path, status):
    url = origin.on(path, Reply(b"", status))
    asked = {"If-None-Match": '"a"'} if status == 304 else {}
    with larder.client() as client:
        assert client.get(url, asked).status == status
        assert client.get(origin.on(path + "/2", Reply("ok"))).body == b"ok"


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_request_body_with_length(larder, origin, path, size):
    body = pattern(size)
    url = origin.on(path, Reply("ok"))
    assert larder.request("POST", url, body=body).body == b"ok"
    seen = origin.seen(path)[0]
    assert seen.body == body and seen.get("Content-Length") == str(size)


def test_request_body_chunked(larder, origin, path):
    url = origin.on(path, Reply("ok"))
    with larder.client() as client:
        client.send_head("POST", url, {"Transfer-Encoding": "chunked"})
        client.send("5\r\nhello\r\n")
        client.send("6;ext=1;q=\"a;b\"\r\n world\r\n0\r\n\r\n")
        assert client.response().body == b"ok"
        assert client.get(url).body == b"ok"
    seen = origin.seen(path)[0]
    assert seen.body == b"hello world"
    assert b"ext=1" not in seen.raw, "chunk extensions are hop-by-hop"


def test_request_trailers(larder, origin, path):
    """RFC 9110 6.5: may be passed or dropped, never merged into the head."""
    url = origin.on(path, Reply("ok"))
    with larder.client() as client:
        client.send_head("POST", url, {"Transfer-Encoding": "chunked",
                                       "Trailer": "X-Sum"})
        client.send("2\r\nab\r\n0\r\nX-Sum: 7\r\n\r\n")
        assert client.response().body == b"ok"
        assert client.get(url).body == b"ok", "the connection is still in step"
    assert "X-Sum" not in origin.seen(path)[0]


@pytest.mark.parametrize("field", ["Content-Length: 9", "Transfer-Encoding: chunked",
                                   "Host: other.test", "Authorization: Basic YTpi"])
def test_framing_in_request_trailers(larder, origin, path, field):
    """RFC 9110 6.5.1: dropped or refused, never passed on."""
    url = origin.on(path, Reply("ok"))
    with larder.client() as client:
        client.send_head("POST", url, {"Transfer-Encoding": "chunked"})
        client.send(f"2\r\nab\r\n0\r\n{field}\r\n\r\n")
        assert client.response().status in (200, 400)
    name = field.partition(":")[0]
    for seen in origin.seen(path):
        assert name not in [n for n, _ in seen.trailers]


@pytest.mark.parametrize("coding", ["length", "chunked"])
def test_large_upload_is_streamed(larder, origin, path, coding):
    """64 MiB: the origin reads while the client still sends, memory is flat."""
    size, first = 64 << 20, threading.Event()
    digest, sent_all = hashlib.sha256(), []

    @reads_body
    def handler(exchange):
        # Something must arrive before the client has sent all.
        exchange.reader.peek(1)
        first.set()
        body = exchange.read_body()
        exchange.request.body = b""
        return Reply(hashlib.sha256(body).hexdigest())
    url = origin.on(path, handler)
    block = pattern(1 << 20)
    larder.get(origin.on(path + "/warm", Reply("x")))
    before, peak = larder.rss(), 0
    with larder.client(timeout=60) as client:
        if coding == "length":
            client.send_head("PUT", url, {"Content-Length": size})
        else:
            client.send_head("PUT", url, {"Transfer-Encoding": "chunked"})
        for i in range(64):
            if coding == "chunked":
                client.send(b"%x\r\n" % len(block) + block + b"\r\n")
            else:
                client.send(block)
            digest.update(block)
            if i == 2:
                assert first.wait(10 * PATIENCE), "the body is held back"
            peak = max(peak, larder.rss())
        if coding == "chunked":
            client.send("0\r\n\r\n")
        assert client.response().body.decode() == digest.hexdigest()
    if not sanitized():
        assert peak - before < 4 << 20


def test_answer_before_the_body_is_read(larder, origin, path):
    """RFC 9112 9.5: an origin may refuse early; the client gets to know."""
    @reads_body
    def refuses(exchange):
        exchange.send("HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n"
                      "Connection: close\r\n\r\nno")
        time.sleep(1)
        exchange.close = True
    url = origin.on(path, refuses)
    with larder.client() as client:
        client.send_head("PUT", url, {"Content-Length": 50 << 20})
        client.send(b"x" * 10000)
        answer = client.response()
        assert (answer.status, answer.body) == (413, b"no")


def test_client_leaves_during_an_upload(larder, origin, path):
    """The origin must not see a body that looks whole."""
    ended = []

    @reads_body
    def handler(exchange):
        try:
            ended.append(len(exchange.reader.read(1000)) == 1000)
        except OSError:
            ended.append(False)
        exchange.close = True
    url = origin.on(path, handler)
    with larder.client() as client:
        client.send_head("PUT", url, {"Content-Length": 1000})
        client.send(b"x" * 500)
        wait_for(lambda: origin.count(path), what="the request at the origin")
    wait_for(lambda: ended, what="the origin's end")
    assert ended == [False]


def test_expect_continue(larder, origin, path):
    """RFC 9110 10.1.1: the client gets 100 before it sends, then the answer."""
    url = origin.on(path, lambda x: Reply(x.read_body()))
    with larder.client() as client:
        client.send_head("POST", url, {"Content-Length": 4, "Expect": "100-continue"})
        assert client.head().status == 100
        client.send("body")
        answer = client.response()
        assert (answer.status, answer.body) == (200, b"body")


def test_expect_continue_without_an_answer(larder, origin, path):
    """An origin that does not know the expectation stays silent; a client waits
    for a while and sends then (RFC 9110 10.1.1)."""
    @reads_body
    def silent(exchange):
        body = exchange.reader.read(4)
        exchange.body_read = True
        return Reply(body)
    url = origin.on(path, silent)
    with larder.client() as client:
        client.send_head("POST", url, {"Content-Length": 4, "Expect": "100-continue"})
        time.sleep(1)
        client.send("body")
        answer = client.head()
        if answer.status == 100:
            answer = client.head()
        assert answer.status == 200
        assert b"".join(client.body(answer, "POST")) == b"body"


def test_expect_continue_refused_by_the_origin(larder, origin, path):
    """A final answer instead of 100 reaches the client, who sends no body."""
    @reads_body
    def refuses(exchange):
        exchange.close = True
        return Reply("no", 403, close=True)
    url = origin.on(path, refuses)
    with larder.client() as client:
        client.send_head("POST", url, {"Content-Length": 4, "Expect": "100-continue"})
        answer = client.head()
        if answer.status == 100:  # larder took it on itself to continue
            client.send("body")
            answer = client.head()
        assert answer.status == 403


def test_unknown_expectation(larder, origin, path):
    """RFC 9110 10.1.1: 417, or ignored as RFC 9110 allows."""
    url = origin.on(path, Reply("x"))
    assert larder.get(url, {"Expect": "miracle"}).status in (200, 417)


def test_interim_responses_are_relayed(larder, origin, path):
    """RFC 9110 15.2: a proxy forwards 1xx."""
    url = origin.on(path, Reply("x", interim=[
        (103, [("Link", "</a.css>; rel=preload")]), (103, [("Link", "</b.css>")])]))
    answer = larder.get(url)
    assert answer.body == b"x"
    assert [i.status for i in answer.interim] == [103, 103]
    assert answer.interim[0].get("Link") == "</a.css>; rel=preload"


def test_interim_not_for_http_1_0(larder, origin, path):
    """RFC 9110 15.2: never to an HTTP/1.0 client."""
    url = origin.on(path, Reply("x", interim=[(103, [("Link", "</a>")])]))
    answer = larder.get(url, version="1.0")
    assert answer.body == b"x" and not answer.interim


def test_response_trailers(larder, origin, path):
    """Relayed behind a chunked body, or dropped; never in the head."""
    url = origin.on(path, Reply("data", framing="chunked", trailers=[("X-Sum", "42")],
                                fields={"Trailer": "X-Sum", "Cache-Control": "no-store"}))
    answer = larder.get(url, {"TE": "trailers"})
    assert answer.body == b"data" and "X-Sum" not in answer
    assert answer.trailers == [("X-Sum", "42")]


def test_streaming_is_not_held_back(larder, origin, path):
    """What the origin sent is with the client while the origin rests."""
    go = threading.Event()

    def handler(exchange):
        exchange.head(200, {"Transfer-Encoding": "chunked", "Cache-Control": "no-store"})
        exchange.chunk(b"first")
        go.wait(10 * PATIENCE)
        exchange.chunk(b"last")
        exchange.send("0\r\n\r\n")
    url = origin.on(path, handler)
    with larder.client() as client:
        client.send_head("GET", url)
        head = client.final_head()
        pieces = client.body(head, "GET")
        assert next(pieces) == b"first"
        assert not go.is_set()
        go.set()
        assert b"".join(pieces) == b"last"


def test_large_download_is_whole(larder, origin, path):
    body = pattern(20 << 20)
    url = origin.on(path, Reply(body, fields={"Cache-Control": "max-age=60"}))
    assert larder.get(url).body == body
    assert larder.get(url).body == body
    assert origin.count(path) == 1


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("control", ["no-store", "max-age=60"])
def test_short_body_is_an_abort(larder, origin, path, framing, reset, control):
    """RFC 9112 8: never passed off as whole, never stored."""
    url = origin.on(path, Reply(b"x" * 50_000, framing=framing, cut=30_000, reset=reset,
                                fields={"Cache-Control": control}))
    for _ in range(2):
        with pytest.raises(Aborted):
            answer = larder.get(url)
            assert answer.status == 502, answer  # known before the head went out
            raise Aborted("a 502 instead")
    assert origin.count(path) >= 2
    origin.on(path, Reply("whole", fields={"Cache-Control": control}))
    assert larder.get(url).body == b"whole"


def test_short_body_to_http_1_0_is_a_reset(larder, origin, path):
    """A close-delimited copy of a body that ended short must not look whole:
    only a reset, or a length that is not reached, tells."""
    url = origin.on(path, Reply(b"x" * 50_000, framing="chunked", cut=30_000,
                                fields={"Cache-Control": "no-store"}))
    with pytest.raises(Aborted):
        answer = larder.get(url, version="1.0")
        assert answer.status == 502, answer
        raise Aborted("a 502 instead")


def test_half_a_request_is_never_followed_by_another(make):
    """An early answer to an upload whose last bytes could not be sent yet: the
    next request on that connection would be taken for the rest of the body."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    port, got, read_on = listener.getsockname()[1], [], threading.Event()

    def serve(sock):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(64)
            if not piece:
                return
            data += piece
        if data.startswith(b"POST"):
            time.sleep(0.5)  # larder fills the socket's buffers meanwhile
        sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        read_on.wait(20)
        sock.settimeout(2)
        try:
            while piece := sock.recv(1 << 20):
                data += piece
        except OSError:
            pass
        got.append(data)

    def accept():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    def attempt(size):
        """What the connection of an upload this long has carried."""
        got.clear()
        read_on.clear()
        larder = make({"workers": 1})
        url = f"http://127.0.0.1:{port}"
        with larder.client() as sender, larder.client() as other:
            sender.send_head("POST", url + "/up", {"Content-Length": size})
            threading.Thread(target=push, args=(sender, size), daemon=True).start()
            assert sender.final_head().status == 413
            other.send_head("GET", url + "/victim")
            time.sleep(0.3)
            read_on.set()
            wait_for(lambda: any(d.startswith(b"POST") for d in got), 10)
        return next(d for d in got if d.startswith(b"POST"))

    def push(client, size):
        try:
            client.send(b"x" * size)
        except OSError:
            pass

    threading.Thread(target=accept, daemon=True).start()
    try:
        # How much goes out before the origin reads on, then a little more.
        room = len(attempt(4_000_000).partition(b"\r\n\r\n")[2])
        for more in (100, 3000, 7000):
            body = attempt(room + more).partition(b"\r\n\r\n")[2]
            # Behind a whole request another may follow.
            assert b"/victim" not in body[:room + more]
    finally:
        listener.close()


def test_what_is_on_its_way_stays_what_it_was(make, origin, path):
    """What was sent lies in the kernel's buffers, without a copy, and larder is through with
    it; then it is purged, and nobody has its file any more."""
    larder = make()
    body = pattern(9_000_777)
    url = origin.on(path, Reply(body, fields={"Cache-Control": "max-age=600"}))
    assert larder.get(url).body == body
    larder.ctl("gc", check=0)
    with larder.client(receive_buffer=16 << 20) as client:
        client.send_head("GET", url)
        assert client.head().hit
        larder.ctl("purge", url, check=0)
        got = b""
        while larder.log.read_text().count(f" {url} ") < 2:  # the rest is not under way yet
            got += client.exactly(min(65536, len(body) - len(got)))
            time.sleep(0.02)
        wait_for(lambda: not larder.holds_deleted())
        assert got + client.exactly(len(body) - len(got)) == body
