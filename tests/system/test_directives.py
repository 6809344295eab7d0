"""Cache-Control of requests (RFC 9111 5.2.1)."""
import pytest

from harness.origin import Reply, Resource, http_date

FRESH = {"Cache-Control": "max-age=60"}


@pytest.fixture
def url(larder, origin, path):
    url = origin.on(path, Reply("old", fields={**FRESH, "Age": "10"}))
    larder.get(url)
    assert larder.get(url).hit
    origin.on(path, Reply("new", fields=FRESH))
    return url


@pytest.mark.parametrize("fields", [
    {"Cache-Control": "no-cache"}, {"Cache-Control": "max-age=0"},
    {"Cache-Control": "max-age=5"}, {"Cache-Control": "min-fresh=55"},
    {"Pragma": "no-cache"}, {"Cache-Control": "foo, NO-CACHE"}])
def test_asks_for_newer(larder, url, fields):
    assert larder.get(url, fields).body == b"new"


@pytest.mark.parametrize("fields", [
    {"Cache-Control": "max-age=30"}, {"Cache-Control": "min-fresh=20"},
    {"Cache-Control": "only-if-cached"}, {"Cache-Control": "max-stale"},
    {"Cache-Control": "no-transform"}, {"Cache-Control": "unknown=\"no-cache\""},
    # RFC 9111 5.4: Pragma counts only where Cache-Control is missing
    {"Cache-Control": "max-age=30", "Pragma": "no-cache"}])
def test_content_with_what_is_stored(larder, url, fields):
    answer = larder.get(url, fields)
    assert answer.body == b"old" and answer.hit


def test_reload_replaces_what_is_stored(larder, origin, path, url):
    larder.get(url, {"Cache-Control": "no-cache"})
    answer = larder.get(url)
    assert answer.hit and answer.body == b"new"


def test_no_store_in_a_request(larder, origin, path):
    """RFC 9111 5.2.1.5: nothing of the request or its response is stored."""
    url = origin.on(path, Reply("x", fields=FRESH))
    larder.get(url, {"Cache-Control": "no-store"})
    assert not larder.get(url).hit
    assert origin.count(path) == 2


def test_only_if_cached(larder, origin, path):
    """RFC 9111 5.2.1.7: 504, and the origin is left alone."""
    url = origin.on(path, Reply("x", fields=FRESH))
    assert larder.get(url, {"Cache-Control": "only-if-cached"}).status == 504
    assert not origin.count(path)
    larder.get(url)
    answer = larder.get(url, {"Cache-Control": "only-if-cached"})
    assert answer.status == 200 and answer.hit


def test_only_if_cached_and_stale(larder, origin, path):
    url = origin.on(path, Reply("x", fields={"Cache-Control": "max-age=0"}))
    larder.get(url)
    assert larder.get(url, {"Cache-Control": "only-if-cached"}).status == 504
    assert origin.count(path) == 1


def test_max_stale(larder, origin, path):
    """RFC 9111 5.2.1.2: a client may take what is stale; it need not be given."""
    url = origin.on(path, Reply("x", fields={**FRESH, "Date": http_date(-70)}))
    larder.get(url)
    answer = larder.get(url, {"Cache-Control": "max-stale=1000"})
    assert answer.body == b"x"
    assert answer.age is None or answer.age < 100 or answer.hit


def test_max_stale_does_not_lift_must_revalidate(larder, origin, path):
    url = origin.on(path, Reply("old", fields={
        "Cache-Control": "max-age=60, must-revalidate", "Date": http_date(-70)}))
    larder.get(url)
    origin.on(path, Reply("new", fields=FRESH))
    assert larder.get(url, {"Cache-Control": "max-stale"}).body == b"new"


def test_no_cache_revalidates_with_validator(larder, origin, path):
    """RFC 9111 5.2.1.4: successful validation is enough."""
    url = origin.on(path, Resource("x", FRESH, '"v1"'))
    larder.get(url)
    assert larder.get(url, {"Cache-Control": "no-cache"}).body == b"x"
    assert origin.count(path) == 2
    assert larder.get(url).hit
