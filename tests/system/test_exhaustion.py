"""Who takes much, does little, or leaves: others keep their latency, memory
stays bounded, timeouts hold and descriptors come back."""
import json
import os
import resource
import socket
import struct
import threading
import time

import pytest

from harness.client import Aborted
from harness.daemon import PATIENCE, SLOW, sanitized, wait_for
from harness.origin import Reply, pattern

MANY = int(os.environ.get("LARDER_TEST_MANY", "400" if SLOW else "1000"))
MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def many_descriptors():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def counters(larder):
    return json.loads(larder.ctl("--json", "stats", check=0).stdout)["since_start"]


def gauge(larder, name):
    return json.loads(larder.ctl("--json", "stats", check=0).stdout)[name]


def in_flight(larder):
    return gauge(larder, "fetches_in_flight")


def descriptors(larder):
    return len(os.listdir(f"/proc/{larder.pid}/fd"))


def reset(client):
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


class Bystander(threading.Thread):
    """Asks for something every few milliseconds, and says how long it took."""

    def __init__(self, larder, url):
        super().__init__(daemon=True)
        self.larder, self.url = larder, url
        self.times, self.wrong, self.over = [], [], False
        self.start()

    def run(self):
        while not self.over:
            start = time.monotonic()
            try:
                answer = self.larder.get(self.url)
                if answer.status != 200 or not answer.hit:
                    self.wrong.append(repr(answer))
            except (OSError, Aborted) as e:
                self.wrong.append(repr(e))
            self.times.append(time.monotonic() - start)
            time.sleep(0.005)

    def end(self):
        self.over = True
        self.join(30 * PATIENCE)
        assert not self.wrong, self.wrong[:3]
        assert len(self.times) > 20, "the bystander was hardly served"
        return max(self.times)


@pytest.fixture
def crowd(origin):
    """A daemon for crowds, and three resources in its cache."""
    from harness.daemon import Larder
    larder = Larder({"limits": {"client_share": 100},
                     "timeouts": {"header": "60s", "idle": "60s", "response": "60s"}})
    fresh = [("Cache-Control", "max-age=3600")]
    small = origin.on("/crowd/small", Reply("small", fields=fresh))
    large = origin.on("/crowd/large", Reply(pattern(8 * MIB), fields=fresh))
    origin.on("/crowd/post", Reply("posted"))
    for url in (small, large):
        larder.get(url)
        wait_for(lambda: larder.get(url).hit, what="a hit")
    time.sleep(0.3)
    yield larder, origin
    larder.close()


def connect(larder, **kw):
    return larder.client(timeout=60, **kw)


def silent(larder, origin):
    return connect(larder)


def slow_head(larder, origin):
    client = connect(larder)
    client.send("GET /crowd/small HTTP/1.1\r\nHost: a\r\nA: ")
    return client


def slow_body(larder, origin):
    client = connect(larder)
    client.send_head("POST", origin.url("/crowd/post"), {"Content-Length": 100_000})
    client.send("a" * 1000)
    return client


def slow_reader(larder, origin):
    client = connect(larder, receive_buffer=4096)
    client.send_head("GET", origin.url("/crowd/large"))
    return client


def half_open(larder, origin):
    client = connect(larder)
    client.send("GET /")
    client.sock.shutdown(socket.SHUT_WR)
    return client


def abort(larder, origin):
    client = connect(larder, receive_buffer=4096)
    client.send_head("GET", origin.url("/crowd/large"))
    client.take(1000)
    reset(client)
    return client


def pipeline(larder, origin):
    client = connect(larder, receive_buffer=4096)
    one = f"GET {origin.url('/crowd/large')} HTTP/1.1\r\nHost: a\r\n\r\n"
    client.send(one * (60_000 // len(one)))
    return client


#: What one may cost in larder's own memory, in KiB: measured with a margin.
KINDS = {"silent": (silent, 4), "slow_head": (slow_head, 24), "slow_body": (slow_body, 64),
         "slow_reader": (slow_reader, 32), "half_open": (half_open, 4),
         "abort": (abort, 1), "pipeline": (pipeline, 96)}


@pytest.mark.parametrize("kind", KINDS)
def test_crowd(crowd, kind):
    larder, origin = crowd
    make_one, cost = KINDS[kind]
    count = MANY // 4 if kind in ("slow_body", "pipeline") else MANY
    url = origin.url("/crowd/small")
    wait_for(lambda: gauge(larder, "connections_open") <= 1, 10, what="an empty house")
    before, memory = descriptors(larder), larder.rss()
    bystander = Bystander(larder, url)
    clients = [make_one(larder, origin) for _ in range(count)]
    time.sleep(1)
    grown = (larder.rss() - memory) / count / 1024
    print(f"{kind}: {grown:.1f} KiB each")
    worst = bystander.end()
    assert worst < 2 * PATIENCE, f"a bystander waited {worst:.1f} s"
    for client in clients:
        reset(client) if client.sock.fileno() >= 0 else None
    # Idle connections to the origin may stay, as many as a pool holds.
    wait_for(lambda: descriptors(larder) <= before + 70, 10, 0.1, "the descriptors")
    if not sanitized():
        assert grown < cost, f"{grown:.1f} KiB each"
    assert larder.get(url).hit


# ---- timeouts ------------------------------------------------------------------

@pytest.fixture(scope="module")
def hasty(origin):
    from harness.daemon import Larder
    larder = Larder({"timeouts": {"header": "1s", "idle": "2s", "response": "1s"}})
    yield larder
    larder.close()


def drip(client, data, every=0.1):
    """Sends a byte now and then until an answer comes; how long that took."""
    start = time.monotonic()
    client.sock.settimeout(every)
    for byte in data:
        try:
            client.send(bytes([byte]))
            if client.fill() or client.ended:
                break
        except TimeoutError:
            continue
        except (OSError, Aborted):
            break
    client.sock.settimeout(10 * PATIENCE)
    return time.monotonic() - start


def test_head_by_drips(hasty):
    with hasty.client() as client:
        took = drip(client, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100)
        assert 0.8 < took < 2 * PATIENCE
        assert client.response().status == 408
    assert counters(hasty)["too_slow"] >= 1


def test_body_by_drips(hasty, origin, path):
    url = origin.on(path, Reply("posted"))
    before = counters(hasty)["too_slow"]
    with hasty.client() as client:
        client.send_head("POST", url, {"Content-Length": 1000})
        took = drip(client, b"a" * 900, 0.3)
        assert 1.5 < took < 4 * PATIENCE
        assert client.response().status == 408
    assert counters(hasty)["too_slow"] == before + 1


def test_slow_but_steady_body(hasty, origin, path):
    """Twice as long as the idle timeout, at a kilobyte a second."""
    origin.on(path, lambda x: Reply(str(len(x.request.body))))
    with hasty.client() as client:
        client.send_head("POST", origin.url(path), {"Content-Length": 4000})
        for _ in range(20):
            client.send("a" * 200)
            time.sleep(0.2)
        assert client.response().body == b"4000"


def cached(larder, origin, path, size):
    url = origin.on(path, Reply(pattern(size), fields={"Cache-Control": "max-age=600"}))
    larder.get(url)
    wait_for(lambda: larder.get(url).hit, what="a hit")
    return url


def test_reader_of_nothing(hasty, origin, path):
    url = cached(hasty, origin, path, 16 * MIB)
    before = counters(hasty)["too_slow"]
    with hasty.client(receive_buffer=4096) as client:
        client.send_head("GET", url)
        wait_for(lambda: counters(hasty)["too_slow"] > before, 5, 0.1, "its end")


def test_reader_by_drips(hasty, origin, path):
    url = cached(hasty, origin, path, 16 * MIB)
    before = counters(hasty)["too_slow"]
    with hasty.client(receive_buffer=4096) as client:
        client.send_head("GET", url)
        end = time.monotonic() + 8 * PATIENCE
        while counters(hasty)["too_slow"] == before:
            assert time.monotonic() < end, "it is still served"
            try:
                client.sock.recv(10)
            except OSError:
                break
            time.sleep(0.1)


def test_slow_but_steady_reader(hasty, origin, path):
    """The kernel takes megabytes at once, and so may say nothing for longer
    than the idle timeout; the client reads all the time."""
    url = cached(hasty, origin, path, 16 * MIB)
    with hasty.client() as client:
        # A full one that the kernel made 6 MiB long lets the sender know of nothing
        # until a sixteenth of it is read, and that is seconds; of this one,
        # when 32 KiB are. Its own buffer has room after many times as much.
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
        client.send_head("GET", url)
        assert client.final_head().status == 200
        left, start = 16 * MIB - len(client.exactly(2 * MIB)), time.monotonic()
        while time.monotonic() - start < 7:
            left -= len(client.exactly(5_000))
            time.sleep(0.1)
        client.exactly(left)


def test_origins_head_by_drips(hasty, origin, path):
    def answer(x):
        for byte in b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 10:
            x.send(bytes([byte]))
            time.sleep(0.1)
        x.close = True
    start = time.monotonic()
    assert hasty.get(origin.on(path, answer)).status == 504
    assert time.monotonic() - start < 2.5 * PATIENCE


def test_interim_responses_by_drips(hasty, origin, path):
    def answer(x):
        for _ in range(12):
            x.head(103, {"Link": "</a>"})
            time.sleep(0.3)
        return Reply("late")
    start = time.monotonic()
    assert hasty.get(origin.on(path, answer)).status == 504
    assert time.monotonic() - start < 2.5 * PATIENCE


# ---- one client does not hold up another -----------------------------------------

def test_slow_reader_of_a_window_holds_up_nobody(make, origin, path):
    """Larger than what is stored, which is known when it is shared already."""
    larder = make({"cache": {"max_object": "300K"}, "timeouts": {"idle": "60s"}})
    body = pattern(16 * MIB)

    def answer(x):
        x.head(200, {"Cache-Control": "max-age=60", "Transfer-Encoding": "chunked"})
        x.chunk(body[:1000])
        time.sleep(0.5)
        for at in range(1000, len(body), MIB):
            x.chunk(body[at:at + MIB])
        x.send("0\r\n\r\n")
    url = origin.on(path, answer)
    with larder.client(receive_buffer=4096) as slow, larder.client(timeout=40) as fast:
        slow.send_head("GET", url)
        wait_for(lambda: origin.count(path) == 1)
        start = time.monotonic()
        assert fast.get(url).body == body
        assert time.monotonic() - start < 30 * PATIENCE
        assert origin.count(path) == 1, "the transfer was not shared"
        assert counters(larder)["held_up"] == 1
        with pytest.raises(Aborted):
            slow.response()


# ---- who leaves --------------------------------------------------------------------

def held(origin, path):
    event = threading.Event()

    def answer(x):
        event.wait(30 * PATIENCE)
        return Reply("late", fields={"Cache-Control": "max-age=60"})
    return origin.on(path, answer), event


def test_reset_while_it_is_asked(larder, origin, path):
    url, event = held(origin, path)
    client = larder.client()
    client.send_head("GET", url)
    wait_for(lambda: origin.count(path) == 1)
    assert in_flight(larder) == 1
    reset(client)
    wait_for(lambda: in_flight(larder) == 0, 2, what="the fetch to be forsaken")
    event.set()


def test_reset_while_another_waits(larder, origin, path):
    url, event = held(origin, path)
    first, second = larder.client(), larder.client()
    first.send_head("GET", url)
    wait_for(lambda: origin.count(path) == 1)
    second.send_head("GET", url)
    time.sleep(0.2)
    reset(first)
    time.sleep(0.3)
    event.set()
    assert second.response().body == b"late"
    assert origin.count(path) == 1
    second.close()


def test_half_close_has_its_answer(larder, origin, path):
    url, event = held(origin, path)
    with larder.client() as client:
        client.send_head("GET", url)
        client.sock.shutdown(socket.SHUT_WR)
        wait_for(lambda: origin.count(path) == 1)
        time.sleep(0.2)
        event.set()
        assert client.response().body == b"late"


def test_request_and_reset_at_once(larder, origin, path):
    url, event = held(origin, path)
    for i in range(20):
        client = larder.client()
        client.send_head("GET", f"{url}?{i}")
        reset(client)
    wait_for(lambda: in_flight(larder) == 0, 2, what="the fetches to be forsaken")
    event.set()


def test_post_does_not_go_on_an_idle_connection(make, origin, path):
    """Which the origin may be closing at this moment; it must not be sent
    twice (RFC 9110 9.2.2). One that was in use just now will do."""
    larder = make({"workers": 1})
    url = origin.on(path, Reply("hello"))
    before = origin.connections
    with larder.client() as client:
        assert client.get(url).status == 200
        assert client.request("POST", url, body=b"a").status == 200
        assert origin.connections == before + 1
        time.sleep(1)
        assert client.get(url).status == 200
        assert origin.connections == before + 1
        time.sleep(1)
        assert client.request("POST", url, body=b"a").status == 200
        assert origin.connections == before + 2


# ---- floods --------------------------------------------------------------------------

def test_flood_of_variants(larder, origin, path):
    def answer(x):
        return Reply(x.request.get("X-A", ""), fields={
            "Cache-Control": "max-age=600", "Vary": "X-A"})
    url = origin.on(path, answer)
    for i in range(40):
        assert larder.get(url, {"X-A": str(i)}).body == str(i).encode()
    found = json.loads(larder.ctl("--json", "explain", url, check=0).stdout)
    assert 1 < len(found["variants"]) <= 32
    assert larder.get(url, {"X-A": "39"}).hit
    assert not larder.get(url, {"X-A": "0"}).hit


def test_keys_of_64_kilobytes(make, origin, path):
    larder = make({"limits": {"request_line": "128K", "head": "128K"}})
    origin.default = Reply("long", fields={"Cache-Control": "max-age=60"})
    base = origin.url("/")
    # A key is the URL and a little more.
    for size, status in ((65_400, 200), (65_600, 414), (65_400, 200)):
        assert larder.get(base + "a" * (size - len(base))).status == status


def test_stale_ones_in_a_row(make, origin, path):
    """Each is revalidated in the background; not all of them at once."""
    larder = make({"workers": 1, "timeouts": {"response": "60s"}})
    event = threading.Event()

    def answer(x):
        if "If-None-Match" in x.request:
            event.wait(20 * PATIENCE)
        return Reply("a", fields={"ETag": '"1"', "Cache-Control":
                                  "max-age=1, stale-while-revalidate=600"})
    urls = [origin.url(f"{path}/{i}") for i in range(150)]
    for i, url in enumerate(urls):
        origin.on(f"{path}/{i}", answer)
    with larder.client() as client:
        for url in urls:
            client.get(url)
        time.sleep(2.1)
        for url in urls:
            assert client.get(url).hit
    assert 0 < in_flight(larder) <= 64
    event.set()
    wait_for(lambda: in_flight(larder) == 0, 10, 0.1, "the fetches to end")
