"""When the origin fails: stale-if-error (CONTRACT: cache.stale_if_error;
RFC 5861 4, RFC 9111 4.2.4)."""
import time

import pytest

from harness.daemon import Larder
from harness.origin import Origin, Reply, http_date

# Stale on arrival, with a validator so that keeping it makes sense.
STALE = {"Cache-Control": "max-age=60", "Date": http_date(-300), "ETag": '"v1"'}


@pytest.fixture(scope="module")
def strict(origin):
    """stale_if_error off."""
    daemon = Larder({"cache": {"stale_if_error": "0s"}})
    yield daemon
    daemon.close()


def fill(larder, origin, path, fields=None):
    url = origin.on(path, Reply("kept", fields=fields or STALE))
    assert larder.get(url).body == b"kept"
    return url


def test_origin_gone(make, path):
    server = Origin()
    larder = make()
    url = fill(larder, server, path)
    server.stop()
    answer = larder.get(url)
    assert (answer.status, answer.body) == (200, b"kept")
    assert answer.age >= 300
    assert int(answer.cache_status.get("ttl", -1)) < 0, "stale says so (RFC 9211 2.4)"


@pytest.mark.parametrize("failure", [
    Reply("broken", 500), Reply("bad gateway", 502), Reply("busy", 503),
    Reply("late", 504), lambda x: x.reset()],
    ids=["500", "502", "503", "504", "reset"])
def test_failing(larder, origin, path, failure):
    url = fill(larder, origin, path)
    origin.on(path, failure)
    answer = larder.get(url)
    assert (answer.status, answer.body) == (200, b"kept")


def test_recovers(larder, origin, path):
    url = fill(larder, origin, path)
    origin.on(path, Reply("broken", 503))
    assert larder.get(url).body == b"kept"
    origin.on(path, Reply("new", fields={"Cache-Control": "max-age=60"}))
    assert larder.get(url).body == b"new"


def test_client_errors_are_no_failure(larder, origin, path):
    """RFC 5861 4: 404 and 410 are answers."""
    url = fill(larder, origin, path)
    origin.on(path, Reply("gone", 410))
    assert larder.get(url).status == 410


@pytest.mark.parametrize("control", ["max-age=60, must-revalidate",
                                     "max-age=60, proxy-revalidate", "s-maxage=60",
                                     "no-cache"])
def test_where_staleness_is_forbidden(larder, origin, path, control):
    """RFC 9111 4.2.4."""
    url = fill(larder, origin, path, {**STALE, "Cache-Control": control})
    origin.on(path, lambda x: x.reset())
    assert larder.get(url).status in (502, 504)


def test_off_by_configuration(strict, origin, path):
    url = fill(strict, origin, path)
    origin.on(path, Reply("busy", 503))
    assert strict.get(url).status == 503
    origin.on(path, lambda x: x.reset())
    assert strict.get(url).status == 502


def test_origins_own_word(strict, origin, path):
    """RFC 5861 4: the response may allow what the configuration does not ask."""
    url = fill(strict, origin, path, {
        **STALE, "Cache-Control": "max-age=60, stale-if-error=1000"})
    origin.on(path, Reply("busy", 503))
    answer = strict.get(url)
    assert (answer.status, answer.body) in ((200, b"kept"), (503, b"busy"))


def test_not_for_ever(origin, make, path):
    """Beyond stale_if_error the failure is told."""
    larder = make({"cache": {"stale_if_error": "100s"}})
    url = fill(larder, origin, path)  # 240 s beyond its freshness
    origin.on(path, lambda x: x.reset())
    assert larder.get(url).status == 502


def test_fails_midway(larder, origin, path):
    """The new answer had begun: then it is an abort, and the old object is not
    replaced by half of the new one."""
    from harness.client import Aborted
    url = fill(larder, origin, path)
    origin.on(path, Reply(b"n" * 500_000, cut=400_000,
                          fields={"Cache-Control": "max-age=60"}))
    try:
        assert larder.get(url).body == b"kept"
    except Aborted:
        pass
    origin.on(path, Reply("busy", 503))
    assert larder.get(url).body in (b"kept", b"busy")


def test_hit_never_waits_for_a_dead_origin(make, path):
    server = Origin()
    larder = make()
    url = server.on(path, Reply("x", fields={"Cache-Control": "max-age=60"}))
    larder.get(url)
    server.stop()
    start = time.monotonic()
    assert larder.get(url).hit
    assert time.monotonic() - start < 1
