"""Conditional requests of clients answered from what is stored (RFC 9110 13,
RFC 9111 4.3.2)."""
import pytest

from harness.origin import Reply, Resource, http_date

MODIFIED = http_date(-100_000)


@pytest.fixture
def url(larder, origin, path):
    """A stored resource with both validators."""
    url = origin.on(path, Resource("body", {"Cache-Control": "max-age=60", "X-Meta": "1"},
                                   '"v1"', MODIFIED))
    assert larder.get(url).body == b"body"
    return url


@pytest.mark.parametrize("value,status", [
    ('"v1"', 304), ('"v2"', 200), ('"v2", "v1"', 304), ('W/"v1"', 304), ("*", 304),
    ('"a,b" , "v1"', 304), ('v1', 200), ('"V1"', 200), ('"v1', 200)])
def test_if_none_match(larder, origin, path, url, value, status):
    """RFC 9110 13.1.2: weak comparison."""
    answer = larder.get(url, {"If-None-Match": value})
    assert answer.status == status
    assert origin.count(path) == 1, "answered from the store"


def test_304_carries_what_it_must(larder, url):
    """RFC 9110 15.4.5: Cache-Control, Date, ETag, Expires, Vary as in the 200."""
    answer = larder.get(url, {"If-None-Match": '"v1"'})
    assert answer.get("ETag") == '"v1"' and answer.get("Cache-Control") == "max-age=60"
    assert "Date" in answer and answer.body == b""
    assert answer.hit


@pytest.mark.parametrize("offset,status", [(0, 304), (10, 304), (-10, 200)])
def test_if_modified_since(larder, origin, path, url, offset, status):
    """RFC 9110 13.1.3."""
    from email.utils import parsedate_to_datetime
    base = parsedate_to_datetime(MODIFIED).timestamp()
    answer = larder.get(url, {"If-Modified-Since": http_date(offset, base)})
    assert answer.status == status
    assert origin.count(path) == 1


def test_bad_date_is_ignored(larder, url):
    assert larder.get(url, {"If-Modified-Since": "yesterday"}).status == 200


def test_if_none_match_wins_over_date(larder, url):
    """RFC 9110 13.2.2."""
    answer = larder.get(url, {"If-None-Match": '"v2"', "If-Modified-Since": http_date()})
    assert answer.status == 200
    answer = larder.get(url, {"If-None-Match": '"v1"',
                              "If-Modified-Since": http_date(-900_000)})
    assert answer.status == 304


def test_head_conditional(larder, url):
    assert larder.request("HEAD", url, {"If-None-Match": '"v1"'}).status == 304


@pytest.mark.parametrize("fields,status", [
    ({"If-Match": '"v1"'}, 200), ({"If-Match": '"v2"'}, 412), ({"If-Match": "*"}, 200),
    ({"If-Match": 'W/"v1"'}, 412),  # strong comparison
    ({"If-Unmodified-Since": http_date()}, 200),
    ({"If-Unmodified-Since": http_date(-900_000)}, 412)])
def test_preconditions(larder, origin, path, url, fields, status):
    """RFC 9110 13.1.1, 13.1.4: answered here, or left to the origin."""
    def handler(x):
        return Reply("body", status)
    origin.on(path, handler)
    answer = larder.get(url, fields)
    assert answer.status == status, answer


def test_weak_validator_of_the_store(larder, origin, path):
    url = origin.on(path, Resource("x", {"Cache-Control": "max-age=60"}, 'W/"w"'))
    larder.get(url)
    assert larder.get(url, {"If-None-Match": '"w"'}).status == 304
    assert larder.get(url, {"If-None-Match": 'W/"w"'}).status == 304


def test_only_200_turns_into_304(larder, origin, path):
    """RFC 9110 13.2.1: a stored 404 is not "not modified"."""
    url = origin.on(path, Reply("gone", 404, fields={"Cache-Control": "max-age=60",
                                                     "ETag": '"e"'}))
    larder.get(url)
    assert larder.get(url, {"If-None-Match": '"e"'}).status == 404


def test_conditional_request_on_a_cold_cache(larder, origin, path):
    """The client's condition on a miss: the client gets its 304; and what is
    stored, if anything, is the whole."""
    url = origin.on(path, Resource("body", {"Cache-Control": "max-age=60"}, '"v1"'))
    answer = larder.get(url, {"If-None-Match": '"v1"'})
    assert answer.status == 304 and answer.body == b""
    plain = larder.get(url)
    assert (plain.status, plain.body) == (200, b"body")


def test_conditional_request_that_fails_on_a_cold_cache(larder, origin, path):
    url = origin.on(path, Resource("body", {"Cache-Control": "max-age=60"}, '"v2"'))
    answer = larder.get(url, {"If-None-Match": '"v1"'})
    assert (answer.status, answer.body) == (200, b"body")
    assert larder.get(url).body == b"body"


def test_origins_304_without_our_asking(larder, origin, path):
    """A 304 to a request without conditions: never a 200 without a body, and
    never stored as content."""
    url = origin.on(path, Reply(status=304, fields={"Cache-Control": "max-age=60"}))
    assert larder.get(url).status in (304, 502)
    origin.on(path, Reply("body"))
    assert larder.get(url).body == b"body"
