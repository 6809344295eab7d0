"""Ranges (RFC 9110 14) from a whole stored object, small and large."""
import pytest

from harness.origin import Reply, Resource, http_date, pattern

MODIFIED = http_date(-100_000)
SIZES = {"small": 10_000, "large": 1_500_000}


@pytest.fixture(params=SIZES)
def stored(larder, origin, path, request):
    body = pattern(SIZES[request.param])
    url = origin.on(path, Resource(body, {"Cache-Control": "max-age=60"}, '"v1"', MODIFIED))
    assert larder.get(url).body == body
    return url, body


@pytest.mark.parametrize("spec,first,last", [
    ("0-0", 0, 0), ("0-", 0, -1), ("5-9", 5, 9), ("100-199", 100, 199),
    ("-1", -1, -1), ("-500", -500, -1), ("9000-", 9000, -1),
    ("9999-99999999", 9999, -1), ("-99999999", 0, -1)])
def test_single(larder, origin, path, stored, spec, first, last):
    url, body = stored
    size = len(body)
    first, last = first % size, last % size if last < 0 else min(last, size - 1)
    answer = larder.get(url, {"Range": f"bytes={spec}"})
    assert answer.status == 206
    assert answer.body == body[first:last + 1]
    assert answer.get("Content-Range") == f"bytes {first}-{last}/{size}"
    assert answer.get("Content-Length") == str(last - first + 1)
    assert answer.get("ETag") == '"v1"'
    assert origin.count(path) == 1


@pytest.mark.parametrize("spec", ["{size}-", "99999999-", "-0", "{size}-{size}"])
def test_not_satisfiable(larder, origin, path, stored, spec):
    """RFC 9110 15.5.17."""
    url, body = stored
    answer = larder.get(url, {"Range": "bytes=" + spec.format(size=len(body))})
    assert answer.status == 416
    assert answer.get("Content-Range") == f"bytes */{len(body)}"
    assert larder.get(url).body == body, "and the whole is still there"


@pytest.mark.parametrize("value", ["bytes=5-2", "bytes=a-b", "bytes=-", "lines=1-2", "bytes=",
                                   "bytes 1-2", "bytes=1-2-3", "bytes=+1-2",
                                   "bytes=99999999999999999999-"])
def test_invalid_is_ignored(larder, stored, value):
    """RFC 9110 14.2: an invalid Range is ignored (416 is common for overflow)."""
    url, body = stored
    answer = larder.get(url, {"Range": value})
    if value == "bytes=99999999999999999999-":
        assert answer.status in (200, 416)
    else:
        assert answer.status == 200
    if answer.status == 200:
        assert answer.body == body


def test_several_ranges(larder, stored):
    """Whole, or multipart; a server may ignore what costs too much."""
    url, body = stored
    answer = larder.get(url, {"Range": "bytes=0-1,5-6"})
    assert answer.status in (200, 206)
    if answer.status == 200:
        assert answer.body == body
    else:
        assert answer.get("Content-Type", "").startswith("multipart/byteranges")


def test_range_abuse(larder, stored):
    """CVE-2011-3192: thousands of overlapping ranges must not multiply."""
    url, body = stored
    answer = larder.get(url, {"Range": "bytes=" + ",".join(["0-"] * 1000)})
    assert answer.status in (200, 400, 416) and len(answer.body) <= len(body) + 1000


@pytest.mark.parametrize("value,partial", [
    ('"v1"', True), ('"v2"', False), ('W/"v1"', False), (MODIFIED, True),
    (http_date(-50_000), False), ("garbage", False)])
def test_if_range(larder, origin, path, stored, value, partial):
    """RFC 9110 13.1.5: the part only of what the client knows; strong
    comparison. A date is a strong validator only where it lies back (8.8.2.2)."""
    url, body = stored
    answer = larder.get(url, {"Range": "bytes=10-19", "If-Range": value})
    assert answer.status == (206 if partial else 200)
    assert answer.body == (body[10:20] if partial else body)
    assert origin.count(path) == 1


def test_range_is_for_get_only(larder, stored):
    """RFC 9110 14.2."""
    url, body = stored
    answer = larder.request("HEAD", url, {"Range": "bytes=0-1"})
    assert answer.status == 200 and answer.get("Content-Length") == str(len(body))


def test_condition_before_range(larder, stored):
    """RFC 9110 13.2.2: 304 wins over 206."""
    url, _ = stored
    answer = larder.get(url, {"Range": "bytes=0-1", "If-None-Match": '"v1"'})
    assert answer.status == 304


def test_cold_range_goes_through(larder, origin, path):
    """Nothing is stored: the part comes, however larder gets it, and the whole
    is right afterwards."""
    body = pattern(500_000)
    url = origin.on(path, Resource(body, {"Cache-Control": "max-age=60"}, '"v1"'))
    answer = larder.get(url, {"Range": "bytes=1000-1999"})
    assert answer.status == 206 and answer.body == body[1000:2000]
    assert larder.get(url).body == body


def test_cold_range_of_an_origin_without_ranges(larder, origin, path):
    body = pattern(100_000)
    url = origin.on(path, Resource(body, {"Cache-Control": "max-age=60"}, '"v1"',
                                   ranges=False))
    answer = larder.get(url, {"Range": "bytes=1000-1999"})
    if answer.status == 206:
        assert answer.body == body[1000:2000]
    else:
        assert (answer.status, answer.body) == (200, body)
    assert larder.get(url).body == body


@pytest.mark.parametrize("content_range", [
    "bytes 0-4/3", "bytes 5-1/10", "bytes 0-9/10", "lines 0-2/3", "",
    "bytes 99999999999999999999-99999999999999999999/99999999999999999999"])
def test_lying_206_is_not_stored(larder, origin, path, content_range):
    """CVE-2021-31806 and its kin: arithmetic on what a peer claims."""
    url = origin.on(path, Reply("abc", 206, fields={
        "Content-Range": content_range, "Cache-Control": "max-age=60", "ETag": '"v1"'}))
    answer = larder.get(url, {"Range": "bytes=0-2"})
    assert answer.status in (200, 206, 502)
    origin.on(path, Resource("0123456789", {"Cache-Control": "max-age=60"}, '"v1"'))
    assert larder.get(url).body == b"0123456789"


def test_206_nobody_asked_for(larder, origin, path):
    """RFC 9110 15.3.7: only in answer to a Range; never stored as whole."""
    url = origin.on(path, Reply("abc", 206, fields={
        "Content-Range": "bytes 0-2/10", "Cache-Control": "max-age=60", "ETag": '"v1"'}))
    assert larder.get(url).status in (206, 502)
    origin.on(path, Resource("0123456789", {"Cache-Control": "max-age=60"}, '"v1"'))
    assert larder.get(url).body == b"0123456789"


def test_range_of_a_stale_object(larder, origin, path):
    """Revalidated first, then the part of what is true now."""
    resource = Resource(b"0123456789", {"Cache-Control": "max-age=0"}, '"v1"')
    url = origin.on(path, resource)
    larder.get(url)
    answer = larder.get(url, {"Range": "bytes=2-3"})
    assert answer.status == 206 and answer.body == b"23"
    resource.body, resource.etag = b"abcdefghij", '"v2"'
    answer = larder.get(url, {"Range": "bytes=2-3"})
    assert answer.status == 206 and answer.body == b"cd"
    assert answer.get("ETag") == '"v2"'


def test_accept_ranges_on_hits(larder, stored):
    url, _ = stored
    assert larder.get(url).get("Accept-Ranges") in (None, "bytes")
