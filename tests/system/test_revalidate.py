"""Revalidation with the origin (RFC 9111 4.3)."""
import pytest

from harness.origin import Reply, Resource, http_date

MODIFIED = http_date(-100_000)


def test_if_none_match_is_sent(larder, origin, path):
    url = origin.on(path, Resource("x", {"Cache-Control": "max-age=0"}, '"v1"'))
    larder.get(url)
    answer = larder.get(url)
    assert (answer.status, answer.body) == (200, b"x")
    assert origin.seen(path)[1].get("If-None-Match") == '"v1"'
    # RFC 9211: forwarded because stale, and the origin said 304
    assert answer.cache_status["fwd"] == "stale"
    assert answer.cache_status["fwd-status"] == "304"


def test_weak_etag_is_sent_as_it_is(larder, origin, path):
    url = origin.on(path, Resource("x", {"Cache-Control": "max-age=0"}, 'W/"v1"'))
    larder.get(url)
    assert larder.get(url).body == b"x"
    assert origin.seen(path)[1].get("If-None-Match") == 'W/"v1"'


def test_if_modified_since_is_sent(larder, origin, path):
    """RFC 9111 4.3.1: Last-Modified byte for byte."""
    url = origin.on(path, Resource("x", {"Cache-Control": "max-age=0"}, modified=MODIFIED))
    larder.get(url)
    assert larder.get(url).body == b"x"
    assert origin.seen(path)[1].get("If-Modified-Since") == MODIFIED


def test_without_validator_it_is_fetched_anew(larder, origin, path):
    url = origin.on(path, Reply("one", fields={"Cache-Control": "max-age=0"}))
    larder.get(url)
    origin.on(path, Reply("two", fields={"Cache-Control": "max-age=0"}))
    assert larder.get(url).body == b"two"
    again = origin.seen(path)[1]
    assert "If-None-Match" not in again


def test_changed(larder, origin, path):
    resource = Resource("one", {"Cache-Control": "max-age=0"}, '"1"')
    url = origin.on(path, resource)
    larder.get(url)
    resource.body, resource.etag = b"two, longer", '"2"'
    answer = larder.get(url)
    assert answer.body == b"two, longer" and answer.get("ETag") == '"2"'
    assert larder.get(url).body == b"two, longer"
    assert origin.seen(path)[2].get("If-None-Match") == '"2"'


def test_304_refreshes(larder, origin, path):
    """RFC 9111 4.3.4: the stored response gets the 304's fields and lives on."""
    resource = Resource("x", {"Cache-Control": "max-age=60", "Date": http_date(-90),
                              "X-Old": "1", "X-Both": "old"}, '"v1"')
    url = origin.on(path, resource)
    larder.get(url)
    resource.fields = [("Cache-Control", "max-age=100"), ("X-Both", "new"),
                       ("X-New", "1")]
    answer = larder.get(url)  # stale: asks, gets 304
    assert answer.body == b"x"
    hit = larder.get(url)
    assert hit.hit and origin.count(path) == 2
    assert hit.get("Cache-Control") == "max-age=100"
    assert hit.get("X-Both") == "new" and hit.get("X-New") == "1"
    assert hit.get("X-Old") == "1", "what the 304 does not mention stays"
    assert hit.age < 50, "its age starts anew"


def test_304_never_changes_the_body_length(larder, origin, path):
    """RFC 9111 3.2: Content-Length, Content-Encoding of a 304 are not taken."""
    resource = Resource("body", {"Cache-Control": "max-age=0"}, '"v1"')
    resource.not_modified_fields = [("Content-Length", "9999"),
                                    ("Content-Encoding", "gzip"),
                                    ("Content-Range", "bytes 0-1/2")]
    url = origin.on(path, resource)
    larder.get(url)
    for _ in range(2):
        answer = larder.get(url)
        assert answer.body == b"body" and "Content-Encoding" not in answer
        assert "Content-Range" not in answer


@pytest.mark.parametrize("size", [100, 600_000])
def test_304_merge_survives_a_restart(origin, make, path, size):
    larder = make()
    resource = Resource("x" * size, {"Cache-Control": "max-age=60",
                                     "Date": http_date(-90)}, '"v1"')
    url = origin.on(path, resource)
    larder.get(url)
    resource.fields = [("Cache-Control", "max-age=500"), ("X-New", "kept")]
    assert larder.get(url).status == 200
    assert origin.count(path) == 2
    larder.restart()
    answer = larder.get(url)
    assert answer.hit and answer.get("X-New") == "kept"
    assert answer.body == b"x" * size and origin.count(path) == 2


def test_clients_condition_against_a_stale_object(larder, origin, path):
    """The client has v1, the store has v1 stale, the origin says 304: the client
    gets 304, and next time all hit."""
    resource = Resource("x", {"Cache-Control": "max-age=60", "Date": http_date(-90)}, '"v1"')
    url = origin.on(path, resource)
    larder.get(url)
    resource.fields = [("Cache-Control", "max-age=60")]
    assert larder.get(url, {"If-None-Match": '"v1"'}).status == 304
    assert larder.get(url).hit
    assert origin.count(path) == 2


def test_client_knows_more_than_the_store(larder, origin, path):
    """Store has v1 stale, client has v2, the origin has v2."""
    resource = Resource("one", {"Cache-Control": "max-age=0"}, '"v1"')
    url = origin.on(path, resource)
    larder.get(url)
    resource.body, resource.etag = b"two", '"v2"'
    answer = larder.get(url, {"If-None-Match": '"v2"'})
    assert answer.status in (200, 304)
    if answer.status == 200:
        assert answer.body == b"two"
    assert larder.get(url).body == b"two"


def test_304_for_another_validator_is_not_trusted(larder, origin, path):
    """RFC 9111 4.3.4: a 304 with another strong ETag does not refresh ours."""
    url = origin.on(path, Resource("one", {"Cache-Control": "max-age=0"}, '"v1"'))
    larder.get(url)

    def confused(x):
        if "If-None-Match" in x.request:
            return Reply(status=304, fields={"ETag": '"v9"', "Cache-Control": "max-age=60"})
        return Reply("nine", fields={"ETag": '"v9"', "Cache-Control": "max-age=60"})
    origin.on(path, confused)
    answer = larder.get(url)
    if answer.status == 200:
        assert (answer.body, answer.get("ETag")) != (b"one", '"v9"')


def test_no_cache_is_stored_and_always_asked(larder, origin, path):
    """RFC 9111 5.2.2.4: no-cache may be stored; every use asks."""
    url = origin.on(path, Resource("x" * 1000, {"Cache-Control": "no-cache"}, '"v1"'))
    larder.get(url)
    for _ in range(2):
        assert larder.get(url).body == b"x" * 1000
    assert [r.get("If-None-Match") for r in origin.seen(path)] == [None, '"v1"', '"v1"']


def test_fails_with_an_error(larder, origin, path):
    """must-revalidate: an origin that is gone means 502/504, not stale bytes
    (RFC 9111 5.2.2.2)."""
    url = origin.on(path, Resource("x", {"Cache-Control": "max-age=0, must-revalidate"},
                                   '"v1"'))
    larder.get(url)
    origin.on(path, lambda x: x.reset())
    assert larder.get(url).status in (502, 504)


def test_large_object_is_revalidated_without_transfer(larder, origin, path):
    url = origin.on(path, Resource(b"y" * 2_000_000, {"Cache-Control": "max-age=0"}, '"v1"'))
    larder.get(url)
    assert larder.get(url).body == b"y" * 2_000_000
    assert larder.get(url).body == b"y" * 2_000_000


def test_gone(larder, origin, path):
    """A 404 on revalidation is the answer; the old object does not come back."""
    url = origin.on(path, Resource("x", {"Cache-Control": "max-age=0"}, '"v1"'))
    larder.get(url)
    origin.on(path, Reply("gone", 404))
    assert larder.get(url).status == 404
    assert larder.get(url).status == 404
