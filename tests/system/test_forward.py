"""Forward proxying: requests in absolute form (RFC 9112 3.2.2)."""
import socket
import subprocess

import pytest

from harness.client import Client
from harness.daemon import PATIENCE
from harness.origin import Origin, Reply, Resource, pattern


def curl(larder, *args):
    return subprocess.run(
        ["curl", "-sS", "--noproxy", "", "--max-time", str(20 * PATIENCE),
         "-x", larder.url, *args],
        capture_output=True, stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin"})


def test_curl_get(larder, origin, path):
    body = pattern(70000)
    url = origin.on(path, Reply(body, fields={"X-Own": "yes"}))
    done = curl(larder, "-i", url)
    assert done.returncode == 0, done.stderr
    head, _, got = done.stdout.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and b"X-Own: yes" in head
    assert got == body


def test_curl_post(larder, origin, path):
    url = origin.on(path, lambda x: Reply(x.read_body()[::-1]))
    done = curl(larder, "-d", "abcdef", url)
    assert done.stdout == b"fedcba", done.stderr


def test_curl_upload_chunked(larder, origin, path, tmp_path):
    data = pattern(300000)
    (tmp_path / "in").write_bytes(data)
    url = origin.on(path, lambda x: Reply(str(len(x.read_body()))))
    done = curl(larder, "-T", str(tmp_path / "in"), "-H",
                "Transfer-Encoding: chunked", url)
    assert done.stdout == b"300000", done.stderr
    assert origin.seen(path)[0].body == data


def test_curl_head(larder, origin, path):
    url = origin.on(path, Reply(b"x" * 1234))
    done = curl(larder, "-I", url)
    assert done.returncode == 0, done.stderr
    assert b"Content-Length: 1234" in done.stdout


def test_curl_download_resumed(larder, origin, path, tmp_path):
    """curl -C -: what apt, too, does with a partial file."""
    body = pattern(50000)
    url = origin.on(path, Resource(body, {"Cache-Control": "max-age=60"}, '"v1"'))
    (tmp_path / "out").write_bytes(body[:20000])
    done = curl(larder, "-C", "-", "-o", str(tmp_path / "out"), url)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == body


def test_origin_sees_origin_form(larder, origin, path):
    """RFC 9112 3.2.1: towards the origin the target is in origin form."""
    url = origin.on(path, Reply("x"))
    assert larder.get(url + "?q=a%20b&c").status == 200
    seen = origin.seen(path)[0]
    assert seen.target == path + "?q=a%20b&c"
    assert seen.version == "HTTP/1.1"
    assert seen.all("Host") == [origin.authority]


def test_absolute_form_wins_over_host(larder, origin, path):
    """RFC 9112 3.2.2: the Host field is replaced by the target's authority."""
    url = origin.on(path, Reply("x"))
    answer = larder.get(url, {"Host": "elsewhere.test"})
    if answer.status == 200:
        assert origin.seen(path)[0].all("Host") == [origin.authority]
    else:  # refusing what contradicts itself is right as well
        assert answer.status == 400 and not origin.count(path)


def test_scheme_and_host_are_case_insensitive(larder, origin, path):
    """RFC 3986 6.2.2.1; and they are one cached object."""
    origin.on(path, Reply("x", fields={"Cache-Control": "max-age=60"}))
    first = larder.get(f"HTTP://LOCALHOST:{origin.port}{path}")
    second = larder.get(f"http://localhost:{origin.port}{path}")
    assert (first.status, second.status) == (200, 200)
    assert origin.count(path) == 1 and second.hit


def test_empty_path_means_slash(larder, origin):
    """RFC 9110 4.2.3: no path is the same as /."""
    origin.on("/", Reply("root", fields={"Cache-Control": "max-age=60"}))
    assert larder.get(f"http://{origin.authority}").body == b"root"
    assert larder.get(f"http://{origin.authority}/").hit
    assert origin.count("/") == 1


def test_name_is_resolved(larder, origin, path):
    """`localhost` stands in /etc/hosts."""
    origin.on(path, Reply("by name"))
    assert larder.get(origin.url(path, "localhost")).body == b"by name"


def test_origin_on_ipv6(larder, path):
    try:
        server = Origin(host="::1")
    except OSError:
        pytest.skip("no IPv6 here")
    try:
        url = server.on(path, Reply("six"))
        assert larder.get(url).body == b"six"
        assert server.seen(path)[0].all("Host") == [server.authority]
    finally:
        server.stop()


def test_other_addresses_are_tried(larder, origin, path):
    """localhost may be ::1 and 127.0.0.1; the origin listens on v4 only."""
    origin.on(path, Reply("found"))
    answer = larder.get(origin.url(path, "localhost"))
    assert answer.body == b"found", answer


def test_query_is_part_of_the_key(larder, origin, path):
    url = origin.on(path, lambda x: Reply(x.request.target,
                                          fields={"Cache-Control": "max-age=60"}))
    assert larder.get(url + "?a").body == (path + "?a").encode()
    assert larder.get(url + "?b").body == (path + "?b").encode()
    assert origin.count(path) == 2


def test_fragment_or_userinfo_never_reaches_the_origin(larder, origin, path):
    """RFC 9110 4.2.4, 7.1: userinfo in the target is an error to be wary of."""
    origin.on(path, Reply("x"))
    answer = larder.get(f"http://user:secret@{origin.authority}{path}",
                        host=origin.authority)
    if answer.status < 400:
        assert b"secret" not in origin.seen(path)[0].raw
    else:
        assert b"secret" not in answer.body


def test_unknown_scheme(larder):
    answer = larder.get("gopher://127.0.0.1/1", host="127.0.0.1")
    assert 400 <= answer.status < 600 and answer.status != 404


def test_connection_to_origin_is_reused(origin, make, path):
    """One worker, requests one after another: one connection is enough."""
    larder = make({"workers": 1})
    url = origin.on(path, Reply("x", fields={"Cache-Control": "no-store"}))
    before = origin.connections
    with larder.client() as client:
        for _ in range(5):
            assert client.get(url).status == 200
    assert origin.count(path) == 5
    assert origin.connections - before == 1


def test_connection_is_reused_after_a_body(origin, make, path):
    larder = make({"workers": 1})
    url = origin.on(path, Reply("x", fields={"Cache-Control": "no-store"}))
    before = origin.connections
    with larder.client() as client:
        for _ in range(3):
            assert client.request("POST", url, body=b"some").status == 200
            assert client.get(url).status == 200
    assert origin.connections - before == 1


def test_request_on_a_stale_connection_is_retried(origin, make, path):
    """RFC 9110 9.2.2, RFC 9112 9.3.1: the origin closed the idle connection."""
    larder = make({"workers": 1})
    url = origin.on(path, Reply("x", fields={"Cache-Control": "no-store"}))
    assert larder.get(url).status == 200

    def closes_without_answer(exchange):
        # Only the reused connection meets this: a FIN instead of an answer.
        origin.on(path, Reply("again", fields={"Cache-Control": "no-store"}))
        exchange.close = True
    origin.on(path, closes_without_answer)
    assert larder.get(url).body == b"again"
    assert origin.count(path) == 3


def test_post_on_a_stale_connection_is_not_sent_twice(origin, make, path):
    """RFC 9110 9.2.2: what is not idempotent must not be retried once it may
    have been acted on."""
    larder = make({"workers": 1})
    url = origin.on(path, Reply("x", fields={"Cache-Control": "no-store"}))
    assert larder.get(url).status == 200

    def closes_without_answer(exchange):
        exchange.close = True
    origin.on(path, closes_without_answer)
    answer = larder.request("POST", url, body=b"once")
    assert answer.status == 502
    assert [r.method for r in origin.seen(path)] == ["GET", "POST"]


def test_unix_socket_listener(origin, make, path):
    larder = make(start=False)
    sock = str(larder.folder / "proxy.sock")
    larder.options["listen"] = [f"127.0.0.1:{larder.port}", f"unix:{sock}"]
    larder.write_conf()
    larder.start()
    url = origin.on(path, Reply("over unix"))
    with Client(sock) as client:
        assert client.get(url).body == b"over unix"


def test_ipv6_listener(origin, make, path):
    larder = make(start=False)
    larder.options["listen"].append(f"[::1]:{larder.port}")
    larder.write_conf()
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    larder.start()
    url = origin.on(path, Reply("over v6"))
    with Client(("::1", larder.port)) as client:
        assert client.get(url).body == b"over v6"
