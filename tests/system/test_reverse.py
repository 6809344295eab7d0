"""Reverse proxying: origin form goes to the site of its Host."""
import pytest

from harness.origin import Origin, Reply


@pytest.fixture(scope="module")
def other():
    server = Origin()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def larder(origin, other):
    from harness.daemon import Larder
    daemon = Larder(sites={"one.test": origin.url(""), "two.test": other.url("")})
    yield daemon
    daemon.close()


def test_site_by_host(larder, origin, other, path):
    origin.on(path, Reply("one", fields={"Cache-Control": "max-age=60"}))
    other.on(path, Reply("two", fields={"Cache-Control": "max-age=60"}))
    for _ in range(2):
        assert larder.get(path, host="one.test").body == b"one"
        assert larder.get(path, host="two.test").body == b"two"
    assert (origin.count(path), other.count(path)) == (1, 1)


def test_host_is_case_insensitive_and_port_is_ignored(larder, origin, path):
    origin.on(path, Reply("one"))
    assert larder.get(path, host="ONE.Test").body == b"one"
    assert larder.get(path, host=f"one.test:{larder.port}").body == b"one"


def test_unknown_host_gets_help(larder, origin, path):
    """CONTRACT: 400 with a text that says how to use the proxy."""
    answer = larder.get(path, host="unknown.test")
    assert answer.status == 400
    assert answer.get("Content-Type", "").startswith("text/plain")
    assert "proxy" in answer.text.lower()
    assert "unknown.test" not in answer.text, "errors echo nothing of the request"
    assert not origin.count(path)


def test_html_only_where_preferred(larder, path):
    answer = larder.get(path, {"Accept": "text/html,*/*;q=0.1"}, host="unknown.test")
    assert answer.status == 400
    assert answer.get("Content-Type", "").startswith("text/html")


def test_site_star_takes_any_host(origin, make, path):
    larder = make(sites={"*": origin.url("")})
    origin.on(path, Reply("any"))
    assert larder.get(path, host="whatever.test").body == b"any"


def test_exact_site_before_star(origin, other, make, path):
    larder = make(sites={"*": origin.url(""), "two.test": other.url("")})
    origin.on(path, Reply("star"))
    other.on(path, Reply("two"))
    assert larder.get(path, host="two.test").body == b"two"
    assert larder.get(path, host="three.test").body == b"star"


def test_star_keeps_hosts_apart(origin, make, path):
    """Different Hosts behind one site are different resources (RFC 9111 4)."""
    larder = make(sites={"*": origin.url("")})
    origin.on(path, lambda x: Reply(x.request.get("Host"),
                                    fields={"Cache-Control": "max-age=60"}))
    first = larder.get(path, host="a.test")
    second = larder.get(path, host="b.test")
    if first.body != second.body:
        assert origin.count(path) == 2
    else:  # the origin is asked under its own name: then it is one resource
        assert first.body == origin.authority.encode()


def test_site_to_tls_origin(authority, make, path):
    server = Origin(tls=authority.issue("localhost", ["DNS:localhost", "IP:127.0.0.1"]))
    try:
        larder = make(sites={"secure.test": server.url("", "localhost")},
                      env={"SSL_CERT_FILE": str(authority.cert)})
        server.on(path, Reply("secure"))
        assert larder.get(path, host="secure.test").body == b"secure"
    finally:
        server.stop()


def test_site_reaches_private_origin_without_destinations(origin, make, path):
    """What the administrator names as an origin is meant to be reached."""
    larder = make({"access": {"destinations": []}},
                  sites={"in.test": origin.url("")})
    origin.on(path, Reply("inside"))
    assert larder.get(path, host="in.test").body == b"inside"


def test_options_asterisk_is_larders_own_or_the_sites(larder, origin):
    """RFC 9110 9.3.7: OPTIONS * asks about the server."""
    answer = larder.request("OPTIONS", "*", {"Max-Forwards": "0"}, host="one.test")
    assert answer.status in (200, 204)


def test_http_1_0_without_host(larder, path):
    answer = larder.get(path, version="1.0", host="")
    assert answer.status == 400


def test_http_1_1_without_host(larder, path):
    """RFC 9112 3.2: 400."""
    with larder.client() as client:
        client.send(f"GET {path} HTTP/1.1\r\n\r\n")
        assert client.response().status == 400
