"""Fields: hop-by-hop ones, Via, loops (RFC 9110 7.6)."""
import pytest

from harness.origin import Reply

HOP = {"Keep-Alive": "timeout=5", "Proxy-Connection": "keep-alive",
       "TE": "gzip", "Upgrade": "websocket", "Proxy-Authenticate": "Basic",
       "X-Named": "1", "X-Other": "2"}


def test_request_hop_by_hop(larder, origin, path):
    url = origin.on(path, Reply("x"))
    larder.get(url, [("Connection", "X-Named, keep-alive"), ("Connection", "x-OTHER"),
                     *HOP.items(), ("X-End", "stays")])
    seen = origin.seen(path)[0]
    assert seen.get("X-End") == "stays"
    for name in ("X-Named", "X-Other", "Keep-Alive", "Proxy-Connection", "Upgrade"):
        assert name not in seen, f"{name} went through:\n{seen}"
    assert "gzip" not in seen.get("TE", ""), "TE describes one hop"
    assert "x-named" not in seen.get("Connection", "").lower()


def test_response_hop_by_hop(larder, origin, path):
    url = origin.on(path, Reply("x", fields=[
        ("Connection", "X-Named, close"), ("X-Named", "1"), ("Keep-Alive", "timeout=9"),
        ("Proxy-Connection", "close"), ("Upgrade", "h2c"), ("X-End", "stays"),
        ("Cache-Control", "max-age=60")], framing="length"))
    for _ in range(2):
        answer = larder.get(url)
        assert answer.get("X-End") == "stays"
        for name in ("X-Named", "Keep-Alive", "Proxy-Connection", "Upgrade"):
            assert name not in answer, f"{name} went through:\n{answer}"
        assert "x-named" not in answer.get("Connection", "").lower()


@pytest.mark.parametrize("name", ["Content-Length", "Cache-Control", "Host", "Age"])
def test_connection_cannot_name_what_is_end_to_end(larder, origin, path, name):
    """RFC 9110 7.6.1: a client must not be able to strip such fields to confuse."""
    url = origin.on(path, lambda x: Reply(x.read_body()))
    with larder.client() as client:
        answer = client.request("POST", url, {"Connection": name}, body=b"abcd")
        if answer.status == 200:
            assert answer.body == b"abcd"
            assert origin.seen(path)[0].get("Host") == origin.authority
        else:
            assert answer.status == 400


def test_proxy_authorization_stays_here(larder, origin, path):
    url = origin.on(path, Reply("x"))
    larder.get(url, {"Proxy-Authorization": "Basic c2VjcmV0"})
    assert "Proxy-Authorization" not in origin.seen(path)[0]


def test_end_to_end_fields_pass(larder, origin, path):
    url = origin.on(path, Reply("x", fields=[
        ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("X-Latin", "\xe9"),
        ("Content-Type", "text/x-odd; charset=utf-8"), ("X-Empty", "")]))
    answer = larder.get(url, [("Cookie", "c=3"), ("X-Twice", "1"), ("X-Twice", "2"),
                              ("User-Agent", "odd/1 (x)"), ("Referer", "http://r.test/")])
    assert answer.all("Set-Cookie") == ["a=1", "b=2"], "never combined"
    assert answer.get("X-Latin") == "\xe9" and answer.all("X-Empty") == [""]
    assert answer.get("Content-Type") == "text/x-odd; charset=utf-8"
    seen = origin.seen(path)[0]
    assert seen.get("Cookie") == "c=3" and seen.get("X-Twice") == "1, 2"
    assert seen.get("User-Agent") == "odd/1 (x)"


def test_via_both_ways(larder, origin, path):
    """CONTRACT: Via: 1.1 larder; RFC 9110 7.6.3: appended to what is there."""
    url = origin.on(path, Reply("x", fields={"Via": "1.0 first"}))
    answer = larder.get(url, {"Via": "1.1 client-side"})
    assert answer.get("Via").split(", ")[0] == "1.0 first"
    assert answer.get("Via").split(", ")[1].startswith("1.1 larder")
    via = origin.seen(path)[0].get("Via").split(", ")
    assert via[0] == "1.1 client-side" and via[1].startswith("1.1 larder")
    assert len(via) == 2


def test_via_names_the_received_version(larder, origin, path):
    """RFC 9110 7.6.3: received-protocol is that of the message received."""
    url = origin.on(path, Reply("x"))
    larder.get(url, version="1.0")
    assert origin.seen(path)[0].get("Via", "").startswith("1.0 larder")


@pytest.mark.parametrize("via", ["1.1 larder", "1.0 a, 1.1 larder", "1.1 LARDER, 1.1 b"])
def test_loop_is_refused(larder, origin, path, via):
    url = origin.on(path, Reply("x"))
    assert larder.get(url, {"Via": via}).status >= 400
    assert not origin.count(path)


def test_own_via_is_a_loop(larder, origin, path):
    url = origin.on(path, Reply("x"))
    larder.get(url)
    own = origin.seen(path)[0].get("Via")
    origin.on(path + "/2", Reply("x"))
    assert larder.get(origin.url(path + "/2"), {"Via": own}).status >= 400
    assert not origin.count(path + "/2")


@pytest.mark.parametrize("via", ["1.1 larder.example.org", "1.1 notlarder",
                                 "1.1 proxy (larder)"])
def test_no_loop_where_there_is_none(larder, origin, path, via):
    url = origin.on(path, Reply("x"))
    assert larder.get(url, {"Via": via}).status == 200


def test_two_larders_in_a_chain(larder, origin, make, path):
    """A second instance is not a loop: Via tells them apart."""
    second = make(sites={"*": larder.url})
    # The second asks the first in origin form under its own name; the first's
    # site "*" leads to the origin.
    origin.on(path, Reply("x", fields={"Cache-Control": "no-store"}))
    answer = second.get(path, host="chain.test")
    assert answer.status in (200, 508), answer
    assert answer.status == 200, "a chain of two is refused as a loop"


def test_no_forwarded_header_leaks_by_default(larder, origin, path):
    """What the client did not send and the contract does not name."""
    url = origin.on(path, Reply("x"))
    larder.get(url)
    names = {n.lower() for n, _ in origin.seen(path)[0].fields}
    assert names <= {"host", "via", "connection", "x-forwarded-for", "forwarded",
                     "accept-encoding"}, names


def test_cache_status_of_upstream_is_kept(larder, origin, path):
    """RFC 9211 2: members are appended, nearest to the client last."""
    url = origin.on(path, Reply("x", fields={"Cache-Status": "up; hit; ttl=5"}))
    value = larder.get(url).get("Cache-Status")
    assert value.startswith("up; hit; ttl=5, larder;"), value


def test_date_is_added_where_missing(larder, origin, path):
    """RFC 9110 6.6.1: a recipient with a clock that caches or forwards adds it."""
    url = origin.on(path, Reply("x", date=False, fields={"Cache-Control": "max-age=60"}))
    assert "Date" in larder.get(url)
    assert "Date" in larder.get(url)
