"""The page and what belongs to it: /api, /metrics, /healthz, PAC, and who may have them."""
import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

from harness.client import Client
from harness.daemon import PATIENCE, free_port, wait_for
from harness.origin import Reply, pattern

FRESH = {"Cache-Control": "max-age=600"}
TOOLS = pathlib.Path(__file__).resolve().parents[2] / "build/tools"
STATIC = ["/", "/healthz", "/proxy.pac", "/wpad.dat"]
NUMBERS = ["/api/stats", "/metrics"]
#: Of a browser.
BROWSER = {"User-Agent": "Mozilla/5.0", "Accept": "text/html"}


def tool(name):
    """A program that is installed, or unpacked by make page-deps."""
    found = shutil.which(name) or TOOLS / "usr/bin" / name
    if not os.path.exists(found):
        pytest.skip(f"no {name} (make page-deps gets it)")
    return str(found)


@pytest.fixture(scope="module")
def page():
    """One without sites: the page is on its proxy port; it has a password."""
    from harness.daemon import Larder
    larder = Larder({"admin_password": "correct-horse", "admin_names": ["Larder.Example"]})
    yield larder
    larder.close()


def ask(larder, path, fields=(), host=None, method="GET", port=None):
    """In origin form, as a browser does."""
    port = port or larder.port
    with Client(("127.0.0.1", port), 20 * PATIENCE) as client:
        return client.request(method, path, fields, host=host or f"127.0.0.1:{port}")


def data(larder, **kw):
    answer = ask(larder, "/api/stats", **kw)
    assert answer.status == 200, answer
    return json.loads(answer.body)


def purge(larder, query, fields=(), **kw):
    return ask(larder, f"/api/purge?{query}", {"X-Larder": "purge", **dict(fields)},
               method="POST", **kw)


# -- the page --------------------------------------------------------------
def test_it_is_one_document_without_anything_from_elsewhere(page):
    answer = ask(page, "/", BROWSER)
    assert answer.status == 200
    assert answer.get("Content-Type") == "text/html; charset=utf-8"
    for attribute in re.findall(r"(?:src|href|action)=[\"']?([^\"' >]+)", answer.text):
        assert attribute.startswith(("#", "/", "data:")), attribute
    assert "@import" not in answer.text and "url(" not in answer.text


def test_its_policy_runs_its_own_script_alone(page):
    answer = ask(page, "/", BROWSER)
    policy = answer.get("Content-Security-Policy")
    for rule in ("default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'",
                 "form-action 'none'", "connect-src 'self'"):
        assert rule in policy
    assert "unsafe" not in policy and "*" not in policy
    for element, source in (("style", "style-src"), ("script", "script-src")):
        (text,) = re.findall(rf"<{element}>(.*?)</{element}>", answer.text, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy
    # What the policy would stop must not be in it.
    markup = re.sub(r"<(style|script)>.*?</\1>", "", answer.text, flags=re.S)
    assert not re.search(r"\son\w+=|\sstyle=|javascript:", markup)
    script = re.search(r"<script>(.*)</script>", answer.text, re.S)[1]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script)


@pytest.mark.parametrize("path", ["/", *NUMBERS])
def test_nobody_else_may_frame_read_or_keep_it(page, path):
    answer = ask(page, path)
    assert answer.get("X-Frame-Options") == "DENY"
    assert answer.get("X-Content-Type-Options") == "nosniff"
    assert answer.get("Cross-Origin-Resource-Policy") == "same-origin"
    assert answer.get("Referrer-Policy") == "no-referrer"
    assert answer.get("Cache-Control") == "no-store"
    assert "Access-Control-Allow-Origin" not in answer


@pytest.mark.parametrize("path", [*STATIC, *NUMBERS])
def test_head(page, path):
    answer = ask(page, path, method="HEAD")
    assert answer.status == 200 and not answer.body
    assert int(answer.get("Content-Length")) > 0


@pytest.mark.parametrize("path", [*STATIC, *NUMBERS, "/api/events"])
def test_other_methods(page, path):
    assert ask(page, path, method="POST").status == 405
    assert ask(page, path, method="DELETE").get("Allow") == "GET, HEAD"
    answer = ask(page, "/api/purge")
    assert answer.status == 405 and answer.get("Allow") == "POST"


def test_other_paths_get_the_text_that_helps(page):
    for path in ("/no/such/thing", "/api", "/api/", "//", "/index.html", "/metrics/"):
        answer = ask(page, path)
        assert answer.status == 400
        assert "http_proxy=http://" in answer.text and "site " in answer.text


def test_a_body_is_not_read(page):
    answer = page.request("GET", "/api/stats", body=b"x" * 100, host="localhost")
    assert answer.status == 400


def test_connections_go_on_after_what_the_workers_answer(page):
    with page.client() as client:
        for path in STATIC * 2:
            assert client.get(path, host="localhost").status == 200


def test_a_site_has_its_own(make, origin, path):
    """Where a site takes the Host the page is not there; elsewhere it is."""
    origin.on("/", Reply("the site's", fields=FRESH))
    larder = make(sites={"site.test": origin.url("")})
    assert ask(larder, "/", host="site.test").text == "the site's"
    assert "<title>larder</title>" in ask(larder, "/", BROWSER).text
    assert "admin_names" in ask(larder, "/", host="else.test").text


def test_not_through_the_proxy(page):
    """In absolute form a request is for a proxy: to itself it never goes."""
    for path in (*STATIC, *NUMBERS):
        assert page.get(f"http://127.0.0.1:{page.port}{path}").status == 403
        assert page.get(f"http://elsewhere.invalid:{page.port}{path}").status == 502


# -- who may ---------------------------------------------------------------
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io",
                                  "larder.example.evil.example", "1.2.3.4.5", "q7z"])
def test_names_that_are_not_ours_get_nothing(page, host):
    """DNS rebinding: a page elsewhere that makes its own name lead here."""
    for path in ("/", *NUMBERS, "/api/events"):
        for name in (host, f"{host}:{page.port}"):
            answer = ask(page, path, BROWSER, host=name)
            assert answer.status == 400 and "saved" not in answer.text
            assert host not in str(answer)
    answer = ask(page, "/api/purge?host=a", {"X-Larder": "1", "Authorization":
                                             "Bearer correct-horse"}, host=host, method="POST")
    assert answer.status == 400


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "10.1.2.3", "[::1]:3128",
                                  "larder.example", "LARDER.example:3128", "larder.example.",
                                  socket.gethostname(), socket.gethostname().split(".")[0] + ".local"])
def test_names_that_are_ours(page, host):
    assert ask(page, "/", BROWSER, host=host).status == 200
    assert ask(page, "/api/stats", host=host).status == 200


def test_without_host(page):
    """HTTP/1.0, as load balancers ask; no browser does."""
    with page.client() as client:
        client.send("GET /healthz HTTP/1.0\r\n\r\n")
        assert client.response().text == "ok\n"
    with page.client() as client:
        client.send("GET /metrics HTTP/1.0\r\n\r\n")
        assert client.response().status == 200


def test_other_sites_pages_may_not_ask(page):
    for site in ("cross-site", "same-site"):
        for path in (*NUMBERS, "/api/events"):
            assert ask(page, path, {"Sec-Fetch-Site": site}).status == 403
    assert ask(page, "/api/stats", {"Sec-Fetch-Site": "same-origin"}).status == 200
    assert ask(page, "/api/stats", {"Sec-Fetch-Site": "none"}).status == 200
    # A link to the page is fine.
    assert ask(page, "/", {"Sec-Fetch-Site": "cross-site", **BROWSER}).status == 200


def test_only_clients_of_the_proxy(make):
    larder = make({"access": {"clients": ["10.0.0.0/8"]}})
    for path in (*STATIC, *NUMBERS):
        assert ask(larder, path).status == 403


# -- what is told ----------------------------------------------------------
def test_data(make, origin, path):
    larder = make()
    url = origin.on(path, Reply(pattern(70_000), fields=FRESH))
    larder.get(url)
    larder.get(url)
    found = data(larder)
    assert found["today"]["saved_bytes"] == found["week"]["saved_bytes"] == 70_000
    assert found["ever"]["hits"] == 1 and found["ever"]["misses"] == 1
    assert found["hosts"]["rows"][0]["name"] == "127.0.0.1"
    assert len(found["hours"]) == 48 and len(found["days"]) == 30
    assert sum(hour["saved"] for hour in found["hours"]) == 70_000
    assert found["days"][-1]["served"] > 140_000
    assert found["store"]["disk_budget"] == 512 << 20
    assert found["ports"] == [larder.port]
    wait_for(lambda: (data(larder)["objects"] or {}).get("newest"), what="the objects")
    objects = data(larder)["objects"]
    assert objects["newest"][0]["url"] == objects["largest"][0]["url"] == url
    assert objects["largest"][0]["size"] == 70_000 and not objects["partial"]


def test_no_clients_and_no_queries(make, origin, path):
    larder = make()
    url = origin.on(path + "/object", Reply(pattern(1000), fields=FRESH))
    larder.get(url + "?token=secret")
    with larder.client(source="127.0.0.77") as client:
        client.get(url)
    wait_for(lambda: data(larder)["objects"], what="the objects")
    text = ask(larder, "/api/stats").text
    assert "127.0.0.77" not in text
    assert "secret" not in text and url + "?…" in [
        o["url"] for o in data(larder)["objects"]["newest"]]
    # They are for who may ask larderctl.
    assert "127.0.0.77" in larder.ctl("stats", "--by", "client", check=0).stdout
    assert "secret" in larder.ctl("stats", "--by", "url", check=0).stdout


def test_in_flight(make, origin, path):
    larder = make()

    def answer(exchange):
        exchange.head(200, {"Content-Length": 1_000_000, **FRESH})
        exchange.send(b"x" * 100_000)
        time.sleep(3 * PATIENCE)
    url = origin.on(path, answer) + "?q=secret"
    with larder.client() as client:
        client.send_head("GET", url)
        client.final_head()

        def flight():
            found = data(larder)["flights"]
            return found and found[0]["received"] == 100_000 and found[0]
        found = wait_for(flight, what="the flight")
        assert found["url"].endswith("?…") and found["length"] == 1_000_000
        assert found["readers"] == 1


HOSTILE = ["/<script>alert(1)</script>", "/'\"><img/src=x/onerror=alert(1)>", "/%0d%0aX:%20y",
           "/\xff\xfe\x80", "/</script><script>alert(1)</script>", "/a\\u003cb"]


def test_hostile_urls_stay_data(make, origin, path):
    larder = make()
    for i, bad in enumerate(HOSTILE):
        with larder.client() as client:
            origin.on(path + bad, Reply(pattern(100 + i), fields=FRESH))
            client.send_head("GET", origin.url(path + bad))
            client.response()
    wait_for(lambda: data(larder)["objects"], what="the objects")
    answer = ask(larder, "/api/stats")
    # As JSON, which no browser takes for anything else.
    assert answer.get("Content-Type") == "application/json"
    assert answer.get("X-Content-Type-Options") == "nosniff"
    json.loads(answer.body)
    assert "alert" not in ask(larder, "/", BROWSER).text
    for text in (answer.text, ask(larder, "/metrics").text):
        assert "\r\nX: y" not in text


def test_nothing_of_the_request_comes_back(page):
    mark = "x3q9z"
    for path in ("/", "/nothing", "/api/stats", "/metrics", "/proxy.pac"):
        for target, host in ((f"{path}?{mark}", "localhost"), (path, f"{mark}.example")):
            answer = ask(page, target, {"User-Agent": mark, "Referer": f"http://{mark}/"},
                         host=host)
            assert mark not in str(answer.fields) and mark not in answer.text


# -- events ----------------------------------------------------------------
class Events:
    def __init__(self, larder, **kw):
        self.client = Client(("127.0.0.1", larder.port), 20 * PATIENCE, **kw)
        self.client.send_head("GET", "/api/events", host="localhost")
        self.head = self.client.final_head()

    def next(self):
        while True:
            line = b""
            while not line.endswith(b"\n"):
                line += self.client.exactly(1)
            if line.startswith(b"data: "):
                return json.loads(line[6:])


def test_events(make, origin, path):
    larder = make()
    url = origin.on(path, Reply(pattern(5000), fields=FRESH))
    events = Events(larder)
    assert events.head.get("Content-Type") == "text/event-stream"
    assert events.next()["ever"]["misses"] == 0
    larder.get(url)
    wait_for(lambda: events.next()["ever"]["misses"] == 1, every=0, what="the miss")
    events.client.close()


def test_as_many_events_as_may(make):
    larder = make()
    many = [Events(larder) for _ in range(16)]
    assert all(e.head.status == 200 for e in many)
    assert Events(larder).head.status == 503
    assert larder.get("/api/stats", host="localhost").status == 200
    many.pop().client.close()
    wait_for(lambda: Events(larder).head.status == 200, every=0.2, what="a free place")
    for e in many:
        e.client.close()


@pytest.mark.skipif(not os.environ.get("LARDER_TEST_HUGE"), reason="takes half a minute")
def test_who_does_not_read_is_dropped(make):
    larder = make()
    slow = [Events(larder, receive_buffer=2048) for _ in range(16)]
    assert Events(larder).head.status == 503
    wait_for(lambda: Events(larder).head.status == 200, 90, every=1, what="a free place")
    for e in slow:
        e.client.close()


def test_who_does_not_read_holds_up_nobody(make):
    larder = make()
    slow = [Events(larder, receive_buffer=2048) for _ in range(15)]
    good = Events(larder)
    began = time.monotonic()
    while time.monotonic() - began < 4:
        assert good.next()["running"]
    assert larder.get("/healthz", host="localhost").status == 200
    for e in slow:
        e.client.close()
    good.client.close()


def test_events_do_not_hold_up_the_end(make):
    larder = make()
    events = Events(larder)
    began = time.monotonic()
    assert larder.stop() == 0
    assert time.monotonic() - began < 5 * PATIENCE
    assert events.client.fill() in (True, False)


def test_requests_that_leave_at_once(make):
    larder = make()
    for i in range(60):
        client = larder.client()
        client.send_head("GET", ("/api/events", "/api/stats", "/metrics")[i % 3], host="localhost")
        client.close()
    assert ask(larder, "/api/stats").status == 200


# -- purging ---------------------------------------------------------------
@pytest.fixture
def filled(make, origin, path):
    larder = make({"admin_password": "correct-horse"})
    larder.stored = origin.on(path, Reply(pattern(5000), fields=FRESH))
    larder.get(larder.stored)
    wait_for(lambda: larder.ctl("ls").stdout.count(path), what="the object")
    return larder


PASSWORD = {"Authorization": "Bearer correct-horse"}


def has(larder):
    return larder.stored in larder.ctl("ls", check=0).stdout


def test_purge_with_the_password(filled):
    answer = purge(filled, f"url={filled.stored}&dry_run=1", PASSWORD)
    assert answer.status == 200 and json.loads(answer.body)["objects"] == 1
    assert has(filled)
    answer = purge(filled, f"url={filled.stored}", PASSWORD)
    assert answer.status == 200 and json.loads(answer.body)["objects"] == 1
    assert not has(filled)
    assert data(filled)["ever"]["purged"] == 1


def test_a_purge_overtakes_a_fetch(filled, origin, path):
    """As larderctl's: what is on its way is not stored over it."""
    old = b"old" * 130_000
    replies = iter([Reply(old, fields=FRESH, pace=(60_000, 0.15))])
    url = origin.on(path + "/slow", lambda x: next(replies, Reply(b"new", fields=FRESH)))
    got = []
    thread = threading.Thread(target=lambda: got.append(filled.get(url).body))
    thread.start()
    wait_for(lambda: data(filled)["flights"], what="the fetch")
    assert purge(filled, f"url={url}", PASSWORD).status == 200
    assert filled.get(url).body == b"new"
    thread.join(20 * PATIENCE)
    assert got == [old]
    assert filled.get(url).body == b"new"


def test_no_purge_without(filled):
    for fields in ({}, {"Authorization": "Bearer wrong-horse"}, {"Authorization": "Bearer "},
                   {"Authorization": "Basic Y29ycmVjdC1ob3JzZQ=="},
                   {"Authorization": "Bearer correct-horse2"}, {"Cookie": "correct-horse"}):
        answer = purge(filled, f"url={filled.stored}", fields)
        assert answer.status == 401
        # A guess takes a second, whoever makes it.
        assert purge(filled, f"url={filled.stored}", PASSWORD).status == 429
        time.sleep(1.05)
    assert has(filled)


def test_no_purge_by_another_sites_page(filled):
    """Even one that knows the password: it cannot send the field X-Larder, nor ask to."""
    origin = {"Origin": "http://evil.example", **PASSWORD}
    answer = ask(filled, f"/api/purge?url={filled.stored}", origin, method="POST")
    assert answer.status == 400
    assert purge(filled, f"url={filled.stored}", {"Sec-Fetch-Site": "cross-site", **origin}
                 ).status == 403
    answer = ask(filled, "/api/purge", {"Origin": "http://evil.example",
                                        "Access-Control-Request-Method": "POST",
                                        "Access-Control-Request-Headers": "x-larder"},
                 method="OPTIONS")
    assert "Access-Control-Allow-Origin" not in answer
    assert "Access-Control-Allow-Headers" not in answer
    assert has(filled)


@pytest.mark.parametrize("query", ["", "all=1", "older_than=0s", "url=x", "host=a&match=b", "what=1"])
def test_only_what_a_page_may_purge(filled, query):
    assert purge(filled, query, PASSWORD).status == 400
    assert has(filled)


def test_no_password_no_purge(make, origin, path):
    larder = make()
    answer = purge(larder, "match=*", PASSWORD)
    assert answer.status == 403 and "admin_password" in answer.text


# -- admin_listen ----------------------------------------------------------
def test_admin_listen(make, origin, path):
    """It has the page, whatever the sites are, and is no proxy."""
    port = free_port()
    origin.on("/", Reply("the site's", fields=FRESH))
    larder = make({"admin_listen": [f"127.0.0.1:{port}"]}, sites={"*": origin.url("")})
    assert ask(larder, "/", BROWSER).text == "the site's"
    assert "<title>larder</title>" in ask(larder, "/", BROWSER, port=port).text
    assert data(larder, port=port)["running"]
    assert ask(larder, "/metrics", port=port).status == 200
    url = origin.on(path, Reply("x", fields=FRESH))
    assert ask(larder, url, port=port).status == 404
    assert ask(larder, path, host="site.test", port=port).status == 404
    assert ask(larder, "127.0.0.1:443", method="CONNECT", port=port).status == 404
    assert ask(larder, "/", BROWSER, host="evil.example", port=port).status == 404
    assert data(larder, port=port)["ports"] == [larder.port]
    assert f"PROXY 127.0.0.1:{larder.port};" in ask(larder, "/proxy.pac", port=port).text


def test_admin_listen_by_a_reload(make):
    port = free_port()
    larder = make()
    with pytest.raises(OSError):
        ask(larder, "/healthz", port=port)
    larder.options["admin_listen"] = [f"127.0.0.1:{port}"]
    larder.write_conf()
    larder.ctl("reload", check=0)
    wait_for(lambda: _answers(larder, port), what="the new address")
    assert ask(larder, "http://example.org/", port=port).status == 404


def _answers(larder, port):
    try:
        return ask(larder, "/healthz", port=port).status == 200
    except OSError:
        return False


def test_a_unix_socket_of_admin_listen_may_purge(make, origin, path):
    larder = make(start=False)
    sock = str(larder.folder / "page.sock")
    larder.options["admin_listen"] = [f"unix:{sock}"]
    larder.write_conf()
    larder.start()
    url = origin.on(path, Reply(pattern(5000), fields=FRESH))
    larder.get(url)
    with Client(sock, 20 * PATIENCE) as client:
        assert client.request("POST", f"/api/purge?url={url}", host="localhost").status == 400
    with Client(sock, 20 * PATIENCE) as client:
        answer = client.request("POST", f"/api/purge?url={url}", {"X-Larder": "purge"},
                                host="localhost")
        assert answer.status == 200 and json.loads(answer.body)["objects"] == 1
    assert os.stat(sock).st_mode & 0o777 == 0o660


# -- metrics and health ----------------------------------------------------
def test_metrics(make, origin, path):
    larder = make()
    url = origin.on(path, Reply(pattern(5000), fields=FRESH))
    larder.get(url)
    larder.get(url)
    answer = ask(larder, "/metrics")
    assert answer.get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert 'larder_requests_total{result="hit"} 1\n' in answer.text
    assert "larder_saved_bytes 5000\n" in answer.text
    names = re.findall(r"^# TYPE (\S+)", answer.text, re.M)
    assert len(names) == len(set(names)) > 30
    for line in answer.text.splitlines():
        assert re.match(r"#|[a-z_]+(\{[a-z]+=\"[^\"]*\"\})? -?\d+$", line), line


def test_metrics_please_promtool(page):
    promtool = tool("promtool")
    done = subprocess.run([promtool, "check", "metrics"], input=ask(page, "/metrics").body,
                          capture_output=True, timeout=60 * PATIENCE)
    assert done.returncode == 0 and not done.stdout and not done.stderr, done


def test_health_while_it_drains(make, origin, path):
    """A load balancer asks on: it must hear that no more should come."""
    larder = make()
    url = origin.on(path, Reply(pattern(300_000), pace=(100_000, 1)))
    with larder.client() as busy, larder.client() as balancer:
        assert balancer.get("/healthz", host="localhost").text == "ok\n"
        busy.send_head("GET", url)
        busy.final_head()
        balancer.send("GET /healthz HTTP/1.1\r\n")  # begun, so that it is not idle
        time.sleep(0.2)
        os.kill(larder.pid, 15)
        time.sleep(0.3)
        balancer.send("Host: localhost\r\n\r\n")
        answer = balancer.response()
        assert answer.status == 503 and answer.text == "draining\n"
    larder.wait()


# -- proxy auto-configuration ---------------------------------------------
def test_pac_has_the_address_that_the_client_connected_to(make):
    """Of a machine with several interfaces, the one that this client can reach."""
    larder = make(start=False)
    larder.options["listen"] = [f"0.0.0.0:{larder.port}"]
    larder.write_conf()
    larder.start()
    for address in ("127.0.0.1", "127.0.0.2", "127.3.4.5"):
        for path in ("/proxy.pac", "/wpad.dat"):
            with Client((address, larder.port), 20 * PATIENCE) as client:
                answer = client.get(path, host="wpad.office.example")
            assert answer.get("Content-Type") == "application/x-ns-proxy-autoconfig"
            assert f'"PROXY {address}:{larder.port}; DIRECT"' in answer.text


def test_pac_over_v6(make):
    larder = make(start=False)
    larder.options["listen"] = [f":{larder.port}"]
    larder.write_conf()
    try:
        larder.start()
        client = Client(("::1", larder.port), 20 * PATIENCE)
    except (OSError, AssertionError):
        pytest.skip("no IPv6 here")
    with client:
        assert f'"PROXY [::1]:{larder.port}; DIRECT"' in client.get("/proxy.pac").text
    # A v4 client of the same socket.
    assert f'"PROXY 127.0.0.1:{larder.port}; DIRECT"' in ask(larder, "/proxy.pac").text


# -- auto-apt-proxy --------------------------------------------------------
def test_apt_is_told_in_its_words(page):
    answer = ask(page, "/", {"User-Agent": "Debian APT-HTTP/1.3 (2.6.1)"}, host="apt-proxy:3142")
    assert answer.status == 406 and answer.reason == "Usage Information"


def test_auto_apt_proxy_finds_it(make, tmp_path):
    """The real one: it looks at port 3142 of this machine."""
    program = tool("auto-apt-proxy")
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", 3142))
        except OSError:
            pytest.skip("port 3142 is taken")
    env = {**os.environ, "TMPDIR": str(tmp_path), "AUTO_APT_PROXY_NO_CACHE": "1"}
    for name in ("http_proxy", "HTTP_PROXY"):
        env.pop(name, None)

    def detect():
        return subprocess.run(["sh", program], env=env, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=120 * PATIENCE).stdout.strip()
    assert detect() == ""
    larder = make(start=False)
    larder.options["listen"] = [f"127.0.0.1:{larder.port}", "127.0.0.1:3142"]
    larder.write_conf()
    larder.start()
    assert detect() == "http://127.0.0.1:3142"
