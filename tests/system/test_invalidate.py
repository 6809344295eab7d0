"""Unsafe methods invalidate what is stored (RFC 9111 4.4)."""
import pytest

from harness.origin import Reply

FRESH = {"Cache-Control": "max-age=60"}


def versions(control=FRESH, status=200, extra=()):
    """Each GET counts; unsafe methods get `status` and `extra` fields."""
    count = [0]

    def handler(x):
        if x.request.method in ("GET", "HEAD"):
            count[0] += 1
            return Reply(f"version {count[0]}", fields=control)
        return Reply("done", status, fields=dict(extra))
    return handler


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "FOO"])
@pytest.mark.parametrize("status", [200, 201, 204, 303])
def test_success_invalidates(larder, origin, path, method, status):
    url = origin.on(path, versions(status=status))
    larder.get(url)
    assert larder.get(url).body == b"version 1"
    assert larder.request(method, url, body=b"x").status == status
    assert larder.get(url).body == b"version 2"


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
def test_error_does_not(larder, origin, path, status):
    url = origin.on(path, versions(status=status))
    larder.get(url)
    larder.request("POST", url, body=b"x")
    answer = larder.get(url)
    assert answer.hit and answer.body == b"version 1"


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD"])
def test_safe_methods_do_not(larder, origin, path, method):
    url = origin.on(path, versions())
    larder.get(url)
    larder.request(method, url)
    assert larder.get(url).body == b"version 1"


@pytest.mark.parametrize("field", ["Location", "Content-Location"])
def test_location_of_the_same_origin(larder, origin, path, field):
    """RFC 9111 4.4: may be invalidated as well; if not, it lives out its time.
    Either way the answer is one of the two versions."""
    other = origin.on(path + "/other", versions())
    url = origin.on(path, versions(extra=[(field, path + "/other")]))
    larder.get(other)
    larder.request("POST", url, body=b"x")
    assert larder.get(other).body in (b"version 1", b"version 2")


@pytest.mark.parametrize("field", ["Location", "Content-Location"])
def test_location_of_another_origin_is_left_alone(larder, origin, path, field):
    """RFC 9111 4.4: or one origin could empty the cache of another."""
    victim = origin.on(path + "/victim", versions())
    other = victim.replace("127.0.0.1", "localhost")
    larder.get(other)
    url = origin.on(path, versions(extra=[(field, other)]))
    larder.request("POST", url, body=b"x")
    assert larder.get(other).hit


def test_all_variants_go(larder, origin, path):
    url = origin.on(path, versions({**FRESH, "Vary": "A"}))
    for value in "12":
        larder.get(url, {"A": value})
    larder.request("POST", url, body=b"x")
    for value in "12":
        assert not larder.get(url, {"A": value}).hit


def test_query_is_another_resource(larder, origin, path):
    url = origin.on(path, versions())
    larder.get(url + "?a")
    larder.request("POST", url + "?b", body=b"x")
    assert larder.get(url + "?a").hit
