"""How long a response is fresh (RFC 9111 4.2). The origin's Date lies back
where time must have passed, so that nobody has to wait."""
import time

import pytest

from harness.origin import Reply, http_date

WEEK = 7 * 86400


def stored(larder, origin, path, fields, ask=()):
    """Is the second of two requests answered without the origin? Dates are
    given as functions: collecting the tests may lie minutes back."""
    fields = {n: v() if callable(v) else v for n, v in fields.items()}
    url = origin.on(path, Reply("x", fields=fields))
    assert larder.get(url, ask).body == b"x"
    answer = larder.get(url, ask)
    assert answer.body == b"x"
    hit = origin.count(path) == 1
    assert hit == answer.hit, f"Cache-Status says otherwise: {answer}"
    return hit


FRESH = {
    "max-age": {"Cache-Control": "max-age=60"},
    "case": {"Cache-Control": "MAX-AGE=60"},
    "spaces": {"Cache-Control": " public ,  max-age=60 "},
    "quoted": {"Cache-Control": 'max-age="60"'},
    "s-maxage": {"Cache-Control": "s-maxage=60"},
    "s-maxage-wins": {"Cache-Control": "max-age=0, s-maxage=60"},
    "max-age-wins-over-expires": {"Cache-Control": "max-age=60",
                                  "Expires": lambda: http_date(-60)},
    "expires": {"Expires": lambda: http_date(120)},
    "expires-rfc850": {"Expires": lambda: time.strftime(
        "%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(time.time() + 120))},
    "expires-asctime": {"Expires": lambda: time.strftime(
        "%a %b %e %H:%M:%S %Y", time.gmtime(time.time() + 120))},
    "huge": {"Cache-Control": "max-age=99999999999999999999"},
    "over-31-bits": {"Cache-Control": "max-age=3000000000"},
    "unknown-directive": {"Cache-Control": "odd=\"a, no-store\", max-age=60"},
    "extension-with-name-inside": {"Cache-Control": "x-no-store, max-age=60"},
    "heuristic": {"Last-Modified": lambda: http_date(-WEEK)},
    "pragma-in-a-response-means-nothing": {"Pragma": "no-cache",
                                           "Cache-Control": "max-age=60"},
    "must-revalidate-while-fresh": {"Cache-Control": "max-age=60, must-revalidate"},
    "proxy-revalidate-while-fresh": {"Cache-Control": "max-age=60, proxy-revalidate"},
    "several-fields": {"Cache-Control": "public", "cache-control": "max-age=60"},
    "immutable": {"Cache-Control": "max-age=60, immutable"},
}


@pytest.mark.parametrize("name", FRESH)
def test_fresh(larder, origin, path, name):
    assert stored(larder, origin, path, FRESH[name])


NOT_FRESH = {
    "max-age-0": {"Cache-Control": "max-age=0"},
    "s-maxage-0-wins": {"Cache-Control": "max-age=60, s-maxage=0"},
    "expires-in-the-past": {"Expires": lambda: http_date(-60)},
    "expires-0": {"Expires": "0"},
    "expires-garbage": {"Expires": "tomorrow"},
    "expires-empty": {"Expires": ""},
    "expires-equals-date": {"Expires": lambda: http_date(0), "Date": lambda: http_date(0)},
    "max-age-passed-by-age": {"Cache-Control": "max-age=60", "Age": "61"},
    "max-age-passed-by-date": {"Cache-Control": "max-age=60", "Date": lambda: http_date(-90)},
    "age-huge": {"Cache-Control": "max-age=60", "Age": "99999999999999999999"},
    "no-cache": {"Cache-Control": "max-age=60, no-cache"},
    "no-cache-field-form": {"Cache-Control": 'max-age=60, no-cache="Set-Cookie"'},
    "no-store": {"Cache-Control": "max-age=60, no-store"},
    "no-store-in-second-field": {"Cache-Control": "max-age=60",
                                 "cache-control": "no-store"},
    "private": {"Cache-Control": "max-age=60, private"},
    "private-upper-case": {"Cache-Control": "max-age=60, PRIVATE"},
    "vary-star": {"Cache-Control": "max-age=60", "Vary": "*"},
    "vary-star-among-others": {"Cache-Control": "max-age=60", "Vary": "Accept, *"},
    "nothing-said": {},
    "modified-now": {"Last-Modified": lambda: http_date(0)},
    "modified-in-the-future": {"Last-Modified": lambda: http_date(WEEK)},
    "max-age-negative": {"Cache-Control": "max-age=-1"},
    "max-age-garbage": {"Cache-Control": "max-age=soon"},
}


@pytest.mark.parametrize("name", NOT_FRESH)
def test_not_fresh(larder, origin, path, name):
    if name == "no-cache-field-form":
        # RFC 9111 5.2.2.4: reuse without these fields is allowed as well
        url = origin.on(path, Reply("x", fields={**NOT_FRESH[name], "Set-Cookie": "a=1"}))
        larder.get(url)
        again = larder.get(url)
        assert origin.count(path) == 2 or "Set-Cookie" not in again
        return
    assert not stored(larder, origin, path, NOT_FRESH[name])


def test_heuristic_is_a_part_of_the_age(larder, origin, path):
    """RFC 9111 4.2.2: some fraction of the time since Last-Modified."""
    url = origin.on(path, Reply("x", fields={"Last-Modified": http_date(-10 * 86400)}))
    larder.get(url)
    answer = larder.get(url)
    assert answer.hit and 0 < int(answer.cache_status["ttl"]) <= 2 * 86400


def test_query_does_not_prevent_explicit_freshness(larder, origin, path):
    url = origin.on(path, Reply("x", fields={"Cache-Control": "max-age=60"})) + "?q=1"
    larder.get(url)
    assert larder.get(url).hit


def test_goes_stale(larder, origin, path):
    """And not before its time."""
    url = origin.on(path, Reply("x", fields={"Cache-Control": "max-age=2"}))
    larder.get(url)
    assert larder.get(url).hit
    time.sleep(3.1)
    answer = larder.get(url)
    assert not answer.hit and answer.cache_status["fwd"] == "stale"
    assert origin.count(path) == 2


def test_authorization(larder, origin, path):
    """RFC 9111 3.5: not shared, unless the response says so."""
    assert not stored(larder, origin, path, {"Cache-Control": "max-age=60"},
                      {"Authorization": "Basic YTpi"})


@pytest.mark.parametrize("leave", ["public", "s-maxage=60", "must-revalidate"])
def test_authorization_with_leave(larder, origin, path, leave):
    assert stored(larder, origin, path, {"Cache-Control": f"max-age=60, {leave}"},
                  {"Authorization": "Basic YTpi"})


def test_authorization_is_not_sent_to_others(larder, origin, path):
    url = origin.on(path, Reply("mine", fields={"Cache-Control": "max-age=60"}))
    larder.get(url, {"Authorization": "Basic YTpi"})
    origin.on(path, Reply("yours", fields={"Cache-Control": "max-age=60"}))
    assert larder.get(url).body == b"yours"
