"""Transfers that pass without being stored: bounded, and never stuck, whoever
reads them or nobody does."""
import json
import threading
import time

import pytest

from harness.daemon import PATIENCE, wait_for
from harness.origin import Reply

BODY = bytes(range(256)) * 12_000  # 3 MB: more than a window holds


def in_flight(larder):
    return json.loads(larder.ctl("--json", "stats", check=0).stdout)["fetches_in_flight"]


def first_then(first, *others):
    """Answers the first request with one reply, all others with another."""
    state = iter([first])
    return lambda x: next(state, *others)


def test_background_fetch_that_is_not_stored_ends(larder, origin, path):
    origin.handlers[path] = first_then(
        Reply("old", fields={"Cache-Control": "max-age=1, stale-while-revalidate=600",
                             "ETag": '"1"'}),
        Reply(BODY, fields={"Cache-Control": "no-store"}))
    larder.get(origin.url(path))
    time.sleep(2.1)
    answer = larder.get(origin.url(path))
    assert answer.body == b"old"
    wait_for(lambda: in_flight(larder) == 0, 5, what="the fetch to end")
    assert larder.get(origin.url(path)).body == BODY


def test_failing_background_fetch_ends(larder, origin, path):
    origin.handlers[path] = first_then(
        Reply("old", fields={"Cache-Control": "max-age=1, stale-while-revalidate=600",
                             "ETag": '"1"'}),
        Reply(BODY, 503))
    larder.get(origin.url(path))
    time.sleep(2.1)
    for _ in range(3):
        assert larder.get(origin.url(path)).body == b"old"
    wait_for(lambda: in_flight(larder) == 0, 5, what="the fetches to end")


def test_dripping_background_fetch_ends(make, origin, path):
    """A byte now and then keeps no fetch alive that nobody waits for: those in the
    background are counted, and one origin could have them all."""
    larder = make({"timeouts": {"response": "1s"}})
    origin.handlers[path] = first_then(
        Reply("old", fields={"Cache-Control": "max-age=1, stale-while-revalidate=600",
                             "ETag": '"1"'}),
        Reply(BODY[:300], fields={"Cache-Control": "max-age=60"}, pace=(1, 0.4)))
    larder.get(origin.url(path))
    time.sleep(2.1)
    assert larder.get(origin.url(path)).body == b"old"
    wait_for(lambda: in_flight(larder) == 1, 5, what="the fetch to begin")
    wait_for(lambda: in_flight(larder) == 0, 5, what="the fetch to end")


def test_a_drip_that_somebody_waits_for(make, origin, path):
    larder = make({"timeouts": {"response": "1s"}})
    url = origin.on(path, Reply(BODY[:15], fields={"Cache-Control": "max-age=60"},
                                pace=(1, 0.4)))
    assert larder.get(url, timeout=30).body == BODY[:15]
    assert larder.get(url).hit


def test_range_far_ahead_of_what_is_not_stored(larder, origin, path):
    origin.handlers[path] = first_then(
        Reply("old", fields={"Cache-Control": "max-age=0", "ETag": '"1"'}),
        Reply(BODY, fields={"Cache-Control": "no-store"}))
    larder.get(origin.url(path))
    answer = larder.get(origin.url(path), {"Range": "bytes=1000000-"}, timeout=10)
    if answer.status == 206:
        assert answer.get("Content-Range") == f"bytes 1000000-{len(BODY) - 1}/{len(BODY)}"
        assert answer.body == BODY[1000000:]
    else:
        assert (answer.status, answer.body) == (200, BODY)
    wait_for(lambda: in_flight(larder) == 0, 5, what="the fetch to end")


@pytest.mark.parametrize("framing", ["chunked", "close", "length"])
def test_ranges_backwards_in_what_is_not_stored(larder, origin, path, framing):
    """All of it is there before the first byte goes out, and yet what has been sent is
    gone: such ranges get the whole."""
    body = BODY[:190_000]
    origin.handlers[path] = first_then(
        Reply("old", fields={"Cache-Control": "max-age=0", "ETag": '"1"'}),
        Reply(body, fields={"Cache-Control": "no-store"}, framing=framing))
    larder.get(origin.url(path))
    answer = larder.get(origin.url(path), {"Range": "bytes=180000-180999,0-999"})
    assert answer.status in (200, 206)
    if answer.status == 200:
        assert answer.body == body
    assert larder.get(origin.url(path)).body == body


def test_one_condition_does_not_end_sharing(larder, origin, path):
    """A client's 304 says nothing of whether others could share."""
    def answer(x):
        if "If-None-Match" in x.request:
            return Reply(status=304, fields={"ETag": '"1"'})
        return Reply("whole", fields={"Cache-Control": "max-age=60", "ETag": '"1"'},
                     delay=0.5)
    origin.handlers[path] = answer
    assert larder.get(origin.url(path), {"If-None-Match": '"1"'}).status == 304
    before = len(origin.requests)
    threads = [threading.Thread(target=larder.get, args=(origin.url(path),))
               for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20 * PATIENCE)
    assert len(origin.requests) - before == 1
