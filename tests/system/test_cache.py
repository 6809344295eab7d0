"""Hits and misses as the client, the log and Cache-Status show them."""
import time

import pytest

from harness.origin import Reply, Resource, http_date, pattern

FRESH = {"Cache-Control": "max-age=60"}


def test_miss_then_hit(larder, origin, path):
    body = pattern(5000)
    url = origin.on(path, Reply(body, fields={**FRESH, "X-Kept": "yes"}))
    miss, hit = larder.get(url), larder.get(url)
    assert miss.body == hit.body == body
    # CONTRACT: Cache-Status by RFC 9211
    assert miss.cache_status.get("fwd") in ("uri-miss", "miss")
    assert miss.cache_status.get("stored") is True
    assert hit.hit and 0 < int(hit.cache_status["ttl"]) <= 60
    assert hit.get("X-Kept") == "yes"
    assert origin.count(path) == 1


def test_age_is_only_on_what_was_stored(larder, origin, path):
    """RFC 9111 5.1: Age says the response was not made for this request."""
    url = origin.on(path, Reply("x", fields=FRESH))
    assert larder.get(url).age in (None, 0)
    time.sleep(1.1)
    assert 1 <= larder.get(url).age <= 4


def test_age_adds_to_the_origins(larder, origin, path):
    """RFC 9111 4.2.3: corrected age counts what passed before larder."""
    url = origin.on(path, Reply("x", fields={**FRESH, "Age": "30"}))
    assert larder.get(url).age in (30, 31)
    assert 30 <= larder.get(url).age <= 33


def test_age_from_date(larder, origin, path):
    """RFC 9111 4.2.3: apparent age, where the origin's Date lies back."""
    url = origin.on(path, Reply("x", fields={**FRESH, "Date": http_date(-20)}))
    larder.get(url)
    answer = larder.get(url)
    assert answer.hit and 20 <= answer.age <= 23
    assert answer.get("Date"), "the origin's Date stays"


def test_date_is_the_origins(larder, origin, path):
    date = http_date(-5)
    url = origin.on(path, Reply("x", fields={**FRESH, "Date": date}))
    assert larder.get(url).get("Date") == date
    assert larder.get(url).get("Date") == date


def test_access_log_miss_and_hit(larder, origin, path):
    body = b"x" * 5000
    url = origin.on(path, Reply(body, fields={**FRESH, "Content-Type": "text/plain"}))
    before = time.time()
    larder.get(url)
    larder.get(url)
    miss, hit = larder.access(url, 2)
    assert miss.result == "TCP_MISS" and hit.result in ("TCP_HIT", "TCP_MEM_HIT")
    for entry in (miss, hit):
        assert entry.status == 200 and entry.method == "GET"
        assert entry.client == "127.0.0.1" and entry.user == "-"
        assert 5000 <= entry.bytes < 6000, "head and body"
        assert abs(float(entry.time) - before) < 60
        assert entry.type == "text/plain"
    assert (miss.hierarchy, miss.peer) == ("HIER_DIRECT", "127.0.0.1")
    assert (hit.hierarchy, hit.peer) == ("HIER_NONE", "-")


def test_access_log_revalidation(larder, origin, path):
    resource = Resource("one", {"Cache-Control": "max-age=0"}, etag='"1"')
    url = origin.on(path, resource)
    larder.get(url)
    larder.get(url)
    resource.body, resource.etag = b"two", '"2"'
    assert larder.get(url).body == b"two"
    results = [e.result for e in larder.access(url, 3)]
    assert results == ["TCP_MISS", "TCP_REFRESH_UNMODIFIED", "TCP_REFRESH_MODIFIED"]


def test_access_log_client_refresh(larder, origin, path):
    url = origin.on(path, Reply("x", fields=FRESH))
    larder.get(url)
    larder.get(url, {"Cache-Control": "no-cache"})
    assert larder.access(url, 2)[1].result == "TCP_CLIENT_REFRESH_MISS"


def test_access_log_cannot_be_forged(larder, origin, path):
    """Whatever a client sends, a request is one line of ten fields."""
    url = origin.on(path, Reply("x", fields={"Content-Type": "a/b c\td"}))
    larder.get(url)
    assert len(larder.access(url)) == 1  # AccessEntry checks the form


def test_large_object_hits(larder, origin, path):
    body = pattern(3_000_000)
    url = origin.on(path, Reply(body, fields=FRESH))
    assert larder.get(url).body == body
    answer = larder.get(url)
    assert answer.hit and answer.body == body


def test_compressible_object_hits(larder, origin, path):
    """Compression on the disk is nobody's business but the disk's."""
    body = b"all work and no play " * 40000
    url = origin.on(path, Reply(body, fields={**FRESH, "Content-Type": "text/plain"}))
    for _ in range(3):
        answer = larder.get(url)
        assert answer.body == body and "Content-Encoding" not in answer


def test_encoded_object_stays_encoded(larder, origin, path):
    import gzip
    body = gzip.compress(b"text " * 10000)
    url = origin.on(path, Reply(body, fields={**FRESH, "Content-Encoding": "gzip"}))
    for _ in range(2):
        answer = larder.get(url)
        assert answer.body == body and answer.get("Content-Encoding") == "gzip"


def test_empty_object_hits(larder, origin, path):
    url = origin.on(path, Reply(b"", fields=FRESH))
    larder.get(url)
    answer = larder.get(url)
    assert answer.hit and answer.body == b"" and answer.get("Content-Length") == "0"


@pytest.mark.parametrize("status", [203, 204, 300, 301, 308, 404, 405, 410, 414, 501])
def test_cacheable_statuses(larder, origin, path, status):
    """RFC 9110 15.1: these may be stored, with explicit freshness."""
    url = origin.on(path, Reply(b"" if status == 204 else b"x", status,
                                fields={**FRESH, "Location": "/there"}))
    assert larder.get(url).status == status
    answer = larder.get(url)
    assert answer.status == status and answer.hit
    assert answer.get("Location") == "/there"
    assert origin.count(path) == 1


@pytest.mark.parametrize("status", [302, 307, 400, 403, 500, 502, 503])
def test_explicit_freshness_is_enough(larder, origin, path, status):
    """RFC 9111 3: with max-age any understood final status may be stored;
    whether it is or not, the answer must be the origin's."""
    url = origin.on(path, Reply("x", status, fields={**FRESH, "Location": "/there"}))
    for _ in range(2):
        answer = larder.get(url)
        assert (answer.status, answer.body) == (status, b"x")


@pytest.mark.parametrize("status", [302, 307, 400, 403, 500, 502, 503])
def test_errors_without_freshness_are_not_stored(larder, origin, path, status):
    """Poisoning: an error must not be served to all."""
    url = origin.on(path, Reply("broken", status,
                                fields={"Last-Modified": http_date(-100000)}))
    larder.get(url)
    origin.on(path, Reply("fine"))
    assert larder.get(url).body == b"fine"


def test_partial_answer_is_not_stored_as_whole(larder, origin, path):
    url = origin.on(path, Resource("0123456789", FRESH, '"1"'))
    assert larder.get(url, {"Range": "bytes=2-4"}).body == b"234"
    assert larder.get(url).body == b"0123456789"


def test_post_is_not_answered_from_cache(larder, origin, path):
    url = origin.on(path, lambda x: Reply(x.request.method, fields=FRESH))
    larder.get(url)
    assert larder.request("POST", url, body=b"").body == b"POST"
    assert larder.get(url).body == b"GET"


def test_set_cookie_is_not_handed_to_others_without_leave(larder, origin, path):
    """RFC 9111 7.3: storing it is allowed where freshness is explicit; without,
    a heuristic must not share somebody's session."""
    url = origin.on(path, Reply("x", fields={"Set-Cookie": "id=1",
                                             "Last-Modified": http_date(-1_000_000)}))
    larder.get(url)
    origin.on(path, Reply("y", fields={"Set-Cookie": "id=2"}))
    assert larder.get(url).get("Set-Cookie") == "id=2"


def test_web_cache_deception(larder, origin, path):
    """The path's look must not make private content cacheable."""
    url = origin.on(path + "/account.css", Reply("mine", fields={
        "Cache-Control": "private"}))
    larder.get(url)
    larder.get(url)
    assert origin.count(path + "/account.css") == 2


def test_max_object(origin, make, path):
    """What passes cache.max_object goes through, whole, and is not stored."""
    larder = make({"cache": {"max_object": "1M"}})
    for framing in ("length", "chunked"):
        body = pattern(2_000_000)
        url = origin.on(f"{path}/{framing}", Reply(body, framing=framing, fields=FRESH))
        for _ in range(2):
            answer = larder.get(url)
            assert answer.body == body and not answer.hit
        assert origin.count(f"{path}/{framing}") == 2


def test_every_worker_sees_what_one_stored(larder, origin, path):
    """SO_REUSEPORT spreads connections over workers: all of them must hit."""
    url = origin.on(path, Reply("x", fields=FRESH))
    larder.get(url)
    for _ in range(40):
        assert larder.get(url).hit
    assert origin.count(path) == 1


def test_repeated_fields_survive(larder, origin, path):
    url = origin.on(path, Reply("x", fields=[
        ("Cache-Control", "max-age=60"), ("Link", "<a>"), ("Link", "<b>"),
        ("X-Mixed-Case", "Value With Spaces")]))
    larder.get(url)
    answer = larder.get(url)
    assert answer.hit
    assert answer.get("Link") == "<a>, <b>"
    assert answer.get("X-Mixed-Case") == "Value With Spaces"


def test_thousand_small_objects(larder, origin, path):
    """Each its own bytes, all of them hits."""
    urls = {}
    for i in range(1000):
        at = f"{path}/{i}"
        urls[origin.on(at, Reply(f"object {i} ".encode() * (i % 50 + 1), fields=FRESH))] = i
    with larder.client(timeout=60) as client:
        for _ in range(2):
            for url, i in urls.items():
                answer = client.get(url)
                assert answer.body == f"object {i} ".encode() * (i % 50 + 1)
    assert all(origin.count(f"{path}/{i}") == 1 for i in range(1000))
