"""One fetch for many: everyone who asks while an object is in flight reads it
as it grows, whichever worker they are on."""
import hashlib
import threading
import time

import pytest

from harness.client import Aborted
from harness.daemon import PATIENCE, Larder, wait_for
from harness.origin import Reply, Resource, pattern

MIB = 1 << 20


@pytest.fixture(scope="module")
def larder(origin):
    daemon = Larder({"workers": 4, "timeouts": {"response": "20s", "idle": "60s"}})
    yield daemon
    daemon.close()


class Crowd:
    """Many clients that ask for one URL at the same time."""

    def __init__(self, larder, url, count, fields=()):
        self.larder, self.url, self.fields = larder, url, fields
        self.count = count
        self.lock = threading.Lock()
        self.started = 0            # clients that have body bytes
        self.results = []           # digest, or the exception
        self.statuses = []
        self.threads = [threading.Thread(target=self.one, daemon=True)
                        for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def one(self):
        try:
            with self.larder.client(timeout=60) as client:
                client.send_head("GET", self.url, self.fields)
                head, digest, first = client.final_head(), hashlib.sha256(), True
                with self.lock:
                    self.statuses.append(head.cache_status)
                for piece in client.body(head, "GET"):
                    digest.update(piece)
                    if first:
                        first = False
                        with self.lock:
                            self.started += 1
                result = (head.status, digest.hexdigest())
        except Exception as e:
            result = e
        with self.lock:
            self.results.append(result)

    def join(self):
        end = time.monotonic() + 90 * PATIENCE
        for thread in self.threads:
            thread.join(max(0, end - time.monotonic()))
        assert len(self.results) == self.count, \
            f"{self.count - len(self.results)} clients hang"
        return self.results


def gated(body, first, gate, fields=(), end=None, framing="length"):
    """Sends `first` bytes, waits for the gate, then the rest (or only up to
    `end`, and closes)."""
    def handler(x):
        head = {"Cache-Control": "max-age=600", "Connection": "close", **dict(fields)}
        if framing == "length":
            head["Content-Length"] = len(body)
        else:
            head["Transfer-Encoding"] = "chunked"
        send = x.send if framing == "length" else x.chunk
        x.close = True
        x.head(200, head)
        if first:
            send(body[:first])
        gate.wait(60 * PATIENCE)
        for at in range(first, end or len(body), MIB):
            send(body[at:min(at + MIB, end or len(body))])
        if framing == "chunked" and end is None:
            x.send("0\r\n\r\n")
    return handler


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_200_clients_one_fetch(larder, origin, path, framing):
    """8 MiB; every client has bytes before the origin goes on sending."""
    body, gate = pattern(8 * MIB), threading.Event()
    url = origin.on(path, gated(body, MIB, gate, framing=framing))
    crowd = Crowd(larder, url, 200)
    try:
        wait_for(lambda: crowd.started == 200, 30,
                 what=f"bytes at all followers ({crowd.started} have some)")
    finally:
        gate.set()
    want = (200, hashlib.sha256(body).hexdigest())
    assert all(r == want for r in crowd.join()), \
        [r for r in crowd.results if r != want][:3]
    assert origin.count(path) == 1
    collapsed = [s for s in crowd.statuses if "collapsed" in s]
    assert len(collapsed) >= 150, "Cache-Status tells who waited (RFC 9211 2.6)"
    answer = larder.get(url)
    assert answer.hit and answer.body == body


def test_200_clients_small_object(larder, origin, path):
    """The head is late: all wait for it, one asks."""
    url = origin.on(path, Reply("small", delay=1, fields={"Cache-Control": "max-age=60"}))
    crowd = Crowd(larder, url, 200)
    want = (200, hashlib.sha256(b"small").hexdigest())
    assert all(r == want for r in crowd.join()), crowd.results[:3]
    assert origin.count(path) == 1


def test_late_follower_gets_it_from_the_start(larder, origin, path):
    body, gate = pattern(4 * MIB), threading.Event()
    url = origin.on(path, gated(body, 3 * MIB, gate))
    leader = Crowd(larder, url, 1)
    wait_for(lambda: leader.started, what="the leader's first bytes")
    time.sleep(0.5)
    follower = Crowd(larder, url, 3)
    wait_for(lambda: follower.started == 3, what="the followers' first bytes")
    gate.set()
    want = (200, hashlib.sha256(body).hexdigest())
    assert leader.join() + follower.join() == [want] * 4
    assert origin.count(path) == 1


def test_slow_client_holds_nobody_up(larder, origin, path):
    """The leader does not read; the followers finish."""
    body, gate = pattern(8 * MIB), threading.Event()
    gate.set()
    url = origin.on(path, gated(body, 0, gate))
    with larder.client(receive_buffer=4096) as slow:
        slow.send_head("GET", url)
        assert slow.final_head().status == 200
        results = Crowd(larder, url, 10).join()
        assert results == [(200, hashlib.sha256(body).hexdigest())] * 10
    assert origin.count(path) == 1


def test_leader_leaves(larder, origin, path):
    """The fetch goes on for those who joined it."""
    body, gate = pattern(4 * MIB), threading.Event()
    url = origin.on(path, gated(body, MIB, gate))
    leader = larder.client()
    leader.send_head("GET", url)
    assert leader.final_head().status == 200
    others = Crowd(larder, url, 20)
    wait_for(lambda: others.started == 20, what="the followers' first bytes")
    leader.close()
    time.sleep(0.3)
    gate.set()
    assert others.join() == [(200, hashlib.sha256(body).hexdigest())] * 20
    assert origin.count(path) == 1
    assert larder.get(url).hit


def test_leader_leaves_before_the_head(larder, origin, path):
    url = origin.on(path, Reply("late", delay=1.5, fields={"Cache-Control": "max-age=60"}))
    leader = larder.client()
    leader.send_head("GET", url)
    wait_for(lambda: origin.count(path) == 1, what="the request")
    others = Crowd(larder, url, 10)
    time.sleep(0.3)
    leader.close()
    assert others.join() == [(200, hashlib.sha256(b"late").hexdigest())] * 10
    assert origin.count(path) == 1


def test_followers_leave(larder, origin, path):
    body, gate = pattern(2 * MIB), threading.Event()
    url = origin.on(path, gated(body, MIB, gate))
    leader = Crowd(larder, url, 1)
    wait_for(lambda: leader.started, what="first bytes")
    for _ in range(20):
        with larder.client() as client:
            client.send_head("GET", url)
            client.final_head()
    gate.set()
    assert leader.join() == [(200, hashlib.sha256(body).hexdigest())]


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_failing_midway_aborts_all(larder, origin, path, framing, how):
    """Never a clean short end, nothing stored, the next request fetches anew."""
    body, gate = pattern(4 * MIB), threading.Event()
    handler = gated(body, MIB, gate, end=2 * MIB, framing=framing)

    def fails(x):
        handler(x)
        if how == "rst":
            time.sleep(0.2)
            x.reset()
    url = origin.on(path, fails)
    crowd = Crowd(larder, url, 30)
    wait_for(lambda: crowd.started == 30, what="the followers' first bytes")
    gate.set()
    results = crowd.join()
    assert all(isinstance(r, Aborted) for r in results), results[:3]
    assert origin.count(path) == 1, "no retry once bytes have been passed on"
    origin.on(path, Reply(body, fields={"Cache-Control": "max-age=60"}))
    answer = larder.get(url)
    assert not answer.hit and answer.body == body
    assert origin.count(path) == 2


def test_uncacheable_answer_is_not_shared(larder, origin, path):
    """Collapsed only for as long as it may be: private means one each."""
    count = [0]

    def handler(x):
        time.sleep(0.5)
        with origin.lock:
            count[0] += 1
            mine = count[0]
        return Reply(f"private {mine}", fields={"Cache-Control": "private"})
    url = origin.on(path, handler)
    results = Crowd(larder, url, 10).join()
    assert len(set(results)) == 10, "somebody got another's private answer"
    assert all(not isinstance(r, Exception) for r in results)


def test_uncacheable_answers_do_not_queue(larder, origin, path):
    """Ten of them take little longer than two, not ten in a row."""
    url = origin.on(path, Reply("x", delay=0.5, fields={"Cache-Control": "no-store"}))
    larder.get(url)
    start = time.monotonic()
    Crowd(larder, url, 10).join()
    assert time.monotonic() - start < 3 * PATIENCE


@pytest.mark.parametrize("control,fields", [
    ("no-cache", {}), ("max-age=0", {}), ("max-age=60", {"Cache-Control": "min-fresh=61"})])
def test_whose_head_is_there_is_reused_as_what_is_stored(larder, origin, path, control, fields):
    """RFC 9111 4: who asks when the answer is on its way, and must not be reused
    unasked, gets one of his own; who comes for what may be does not."""
    old, gate = pattern(2 * MIB), threading.Event()
    first = gated(old, MIB, gate, {"Cache-Control": control, "ETag": '"old"'})
    url = origin.on(path, first)
    leader = Crowd(larder, url, 1)
    wait_for(lambda: leader.started, what="first bytes")
    origin.on(path, Reply("new", fields={"Cache-Control": control}))
    try:
        assert larder.get(url, fields).text == "new"
    finally:
        gate.set()
    assert leader.join() == [(200, hashlib.sha256(old).hexdigest())]


def test_other_variant_is_not_shared(larder, origin, path):
    def handler(x):
        time.sleep(0.5)
        return Reply(x.request.get("A", ""), fields={"Cache-Control": "max-age=60",
                                                     "Vary": "A"})
    url = origin.on(path, handler)
    crowds = {a: Crowd(larder, url, 5, {"A": a}) for a in ("one", "two", "three")}
    for a, crowd in crowds.items():
        want = (200, hashlib.sha256(a.encode()).hexdigest())
        assert crowd.join() == [want] * 5


def test_collapsed_revalidation(larder, origin, path):
    """A stale object that many ask for is revalidated once."""
    resource = Resource("x" * 1000, {"Cache-Control": "max-age=1"}, '"v1"')

    def slow(x):
        time.sleep(0.7)
        return resource(x)
    url = origin.on(path, slow)
    larder.get(url)
    time.sleep(2.1)
    resource.fields = [("Cache-Control", "max-age=60")]
    results = Crowd(larder, url, 50).join()
    assert results == [(200, hashlib.sha256(b"x" * 1000).hexdigest())] * 50
    assert origin.count(path) == 2


def test_origin_that_refuses_is_not_hammered(larder, origin, path):
    """A failing head: all get the failure, not each a try of its own."""
    def fails(x):
        time.sleep(0.7)
        x.reset()
    url = origin.on(path, fails)
    start = time.monotonic()
    results = Crowd(larder, url, 50).join()
    assert {r[0] for r in results} <= {502, 504}
    assert time.monotonic() - start < 10 * PATIENCE


def test_range_requests_join_the_flight(larder, origin, path):
    """While the whole is in flight, a part of it is right in any case."""
    body, gate = pattern(4 * MIB), threading.Event()
    resource = Resource(body, {"Cache-Control": "max-age=60"}, '"v1"')
    whole = gated(body, MIB, gate, {"ETag": '"v1"'})
    url = origin.on(path, lambda x: resource(x) if "Range" in x.request else whole(x))
    leader = Crowd(larder, url, 1)
    wait_for(lambda: leader.started, what="first bytes")
    try:
        with larder.client() as client:
            client.send_head("GET", url, {"Range": "bytes=1000-1999"})
            # An answer may wait for the whole: let it come.
            threading.Timer(0.5, gate.set).start()
            answer = client.response()
    finally:
        gate.set()
    assert (answer.status, answer.body) in ((206, body[1000:2000]), (200, body))
    assert leader.join() == [(200, hashlib.sha256(body).hexdigest())]
