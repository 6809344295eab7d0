"""Origins that fail or lie: a 502 or 504 with a reason, or an aborted
transfer; never stored, never passed on as whole."""
import socket
import time

import pytest

from harness.client import Aborted
from harness.daemon import PATIENCE, free_port
from harness.origin import Reply


def test_refused(larder, path):
    answer = larder.get(f"http://127.0.0.1:{free_port()}{path}")
    assert answer.status == 502
    assert "refused" in answer.text.lower()
    assert answer.get("Content-Type", "").startswith("text/plain")


def test_unreachable(make, path):
    """Nobody answers the SYN: 504 after timeouts.connect, not minutes."""
    with socket.socket() as full:  # a backlog that is full answers nothing
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
            fillers.append(s)
        time.sleep(0.2)
        larder = make({"timeouts": {"connect": "1s"}})
        start = time.monotonic()
        answer = larder.get(f"http://127.0.0.1:{port}{path}")
        assert answer.status in (502, 504)
        assert time.monotonic() - start < 6 * PATIENCE
        for s in fillers:
            s.close()


def test_unknown_name(larder, path):
    answer = larder.get(f"http://no-such-name.invalid{path}", timeout=30)
    assert answer.status in (502, 504)
    assert "name" in answer.text.lower() or "resolv" in answer.text.lower()
    assert "no-such-name" not in answer.text


def test_slow_head(larder, origin, path):
    """504 after timeouts.response."""
    url = origin.on(path, Reply("late", delay=6 * PATIENCE))
    start = time.monotonic()
    answer = larder.get(url)
    assert answer.status == 504
    assert 2 < time.monotonic() - start < 5.5 * PATIENCE


def test_stalled_body(larder, origin, path):
    """The body stops coming: aborted after timeouts.response, not for ever."""
    def stalls(exchange):
        exchange.head(200, {"Content-Length": 1000, "Cache-Control": "max-age=60"})
        exchange.send("x" * 100)
        time.sleep(15 * PATIENCE)
        exchange.close = True
    url = origin.on(path, stalls)
    start = time.monotonic()
    with pytest.raises(Aborted):
        larder.get(url)
    assert time.monotonic() - start < 12 * PATIENCE
    origin.on(path, Reply("fine"))
    assert larder.get(url).body == b"fine"


def test_slow_body_is_not_stalled(larder, origin, path):
    """Longer than timeouts.response in all, but something always comes."""
    url = origin.on(path, Reply(b"x" * 50, pace=(10, 1),
                                fields={"Cache-Control": "max-age=60"}))
    assert larder.get(url, timeout=30).body == b"x" * 50


def test_closes_without_answer(larder, origin, path):
    def closes(exchange):
        exchange.close = True
    answer = larder.get(origin.on(path, closes))
    assert answer.status == 502
    assert origin.count(path) <= 2, "retried once at most"


def test_resets_without_answer(larder, origin, path):
    answer = larder.get(origin.on(path, lambda exchange: exchange.reset()))
    assert answer.status == 502


RAW = {
    "garbage": "hello, this is not HTTP\r\n\r\n",
    "garbage-binary": "\x00\xff\x00\xff\r\n\r\n",
    "status-text": "HTTP/1.1 OK 200\r\n\r\n",
    "status-4-digits": "HTTP/1.1 2000 OK\r\nContent-Length: 1\r\n\r\nx",
    "status-2-digits": "HTTP/1.1 20 OK\r\nContent-Length: 1\r\n\r\nx",
    "status-099": "HTTP/1.1 099 Odd\r\nContent-Length: 1\r\n\r\nx",
    "version-2": "HTTP/2.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "lower-case": "http/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "space-before": " HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "two-lengths": "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length-list": "HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\n\r\nabcd",
    "length-negative": "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
    "length-text": "HTTP/1.1 200 OK\r\nContent-Length: three\r\n\r\nabc",
    "length-overflow": "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
    "unknown-coding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: magic\r\n\r\nabc",
    "chunked-not-last": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, magic\r\n\r\nabc",
    "nul-in-field": "HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 1\r\n\r\nx",
    "bare-cr-in-field": "HTTP/1.1 200 OK\r\nX-A: a\rSet-Cookie: b\r\nContent-Length: 1\r\n\r\nx",
    "space-in-name": "HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 1\r\n\r\nx",
    "empty-name": "HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 1\r\n\r\nx",
    "head-cut": "HTTP/1.1 200 OK\r\nContent-Len",
    "endless-head": "HTTP/1.1 200 OK\r\n" + "X-A: b\r\n" * 200_000,
    "endless-field": "HTTP/1.1 200 OK\r\nX-A: " + "b" * 2_000_000,
    "endless-interim": "HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
    "switching-unasked": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nabc",
}


@pytest.mark.parametrize("name", RAW)
def test_nonsense_is_502(larder, origin, path, name):
    """What has no one meaning is not passed on (RFC 9112 4, 6.3)."""
    def answers(exchange):
        exchange.send(RAW[name].encode("latin-1"))
        exchange.close = True
    url = origin.on(path, answers)
    answer = larder.get(url)
    assert answer.status == 502, answer
    origin.on(path, Reply("fine"))
    assert larder.get(url).body == b"fine"


def test_space_before_colon_is_removed_or_refused(larder, origin, path):
    """RFC 9112 5.1: a proxy must remove it before it forwards."""
    def answers(exchange):
        exchange.send("HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 1\r\n\r\nx")
    answer = larder.get(origin.on(path, answers))
    assert answer.status == 502 or answer.get("X-A") == "b"


def test_fold_is_replaced_or_refused(larder, origin, path):
    """RFC 9112 5.2."""
    def answers(exchange):
        exchange.send("HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 1\r\n\r\nx")
    answer = larder.get(origin.on(path, answers))
    assert answer.status == 502 or answer.get("X-A", "").split() == ["b", "c"]


def test_chunked_wins_over_length_and_length_goes(larder, origin, path):
    """RFC 9112 6.3: or refused. The strict client refuses both fields."""
    def answers(exchange):
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: "
                      "chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
        exchange.close = True
    answer = larder.get(origin.on(path, answers))
    assert answer.status == 502 or answer.body == b"hello"


def test_bytes_behind_the_body_are_not_an_answer(origin, make, path):
    """Response splitting: what follows a body must not answer the next one."""
    larder = make({"workers": 1})

    def answers(exchange):
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: no-store"
                      "\r\n\r\ngood"
                      "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    url = origin.on(path, answers)
    assert larder.get(url).body == b"good"
    time.sleep(0.1)
    origin.on(path + "/2", Reply("fine"))
    for _ in range(3):
        assert larder.get(origin.url(path + "/2")).body == b"fine"


def test_body_where_none_may_be(origin, make, path):
    """A 204 with bytes behind it must not put the connection out of step."""
    larder = make({"workers": 1})

    def answers(exchange):
        exchange.send("HTTP/1.1 204 Empty\r\nCache-Control: no-store\r\n\r\n"
                      "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    url = origin.on(path, answers)
    assert larder.get(url).status in (204, 502)
    time.sleep(0.1)
    origin.on(path + "/2", Reply("fine"))
    assert larder.get(origin.url(path + "/2")).body == b"fine"


BAD_CHUNKS = {
    "not-hex": "zz\r\nhello\r\n0\r\n\r\n",
    "overflow": "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "negative": "-5\r\nhello\r\n0\r\n\r\n",
    "too-long": "5\r\nhello!\r\n0\r\n\r\n",
    "no-last": "5\r\nhello\r\n",
    "cut": "50\r\nhello",
    "endless-extension": "5;" + "x" * 500_000,
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_bad_chunks(larder, origin, path, name):
    """RFC 9112 7.1: the transfer is aborted and nothing stored."""
    def answers(exchange):
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                      "Cache-Control: max-age=60\r\n\r\n" + BAD_CHUNKS[name])
        exchange.close = True
    url = origin.on(path, answers)
    for _ in range(2):
        try:
            assert larder.get(url).status == 502
        except Aborted:
            pass
    assert origin.count(path) >= 2, "stored what was broken"


def test_error_is_never_stored(larder, path, origin):
    """A 502 of larder's own is no content."""
    url = origin.on(path, lambda exchange: exchange.reset())
    assert larder.get(url).status == 502
    origin.on(path, Reply("fine", fields={"Cache-Control": "max-age=60"}))
    assert larder.get(url).body == b"fine"


def test_http_1_0_origin(larder, origin, path):
    """A close-delimited answer of an old server is whole when it ends."""
    url = origin.on(path, Reply("old", version="1.0", framing="close",
                                fields={"Cache-Control": "max-age=60"}))
    with larder.client() as client:
        assert client.get(url).body == b"old"
        assert client.get(url).body == b"old"


def test_error_status_is_passed_on(larder, origin, path):
    url = origin.on(path, Reply("broken", 500))
    answer = larder.get(url)
    assert (answer.status, answer.body) == (500, b"broken")


def test_unusual_status_is_passed_on(larder, origin, path):
    """RFC 9110 15: an unknown code is treated as x00, and forwarded."""
    url = origin.on(path, Reply("odd", 299))
    assert larder.get(url).status == 299
    url = origin.on(path + "/2", Reply("odd", 599))
    assert larder.get(url).status == 599


def test_empty_reason(larder, origin, path):
    url = origin.on(path, Reply("x", reason=""))
    assert larder.get(url).status == 200
