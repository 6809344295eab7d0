"""The page in a real browser. Only where Chromium is installed (make page-deps gets it).

LARDER_TEST_SHOTS=FOLDER keeps screenshots there, to be looked at.
"""
import json
import os
import re
import socket
import threading
import time

import pytest

from harness import chromium
from harness.daemon import Larder, wait_for
from harness.origin import Origin, Reply, pattern

pytestmark = pytest.mark.skipif(not chromium.PROGRAM, reason="no Chromium (make page-deps)")

FRESH = {"Cache-Control": "max-age=600"}
LOOKS = {"light": {}, "dark": {"dark": True}, "narrow": {"width": 360, "mobile": True},
         "narrow dark": {"width": 360, "mobile": True, "dark": True}}
#: As URLs of objects; what they show is what they are.
HOSTILE = ["/%3Cscript%3Edocument.title='owned'%3C/script%3E", "/<script>document.title='owned'</script>",
           "/<img/src=x/onerror=document.title='owned'>", "/'\"><svg/onload=document.title='owned'>"]


@pytest.fixture(scope="module")
def origin():
    server = Origin()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def larder(origin):
    """One that has seen some traffic, and has a fetch under way."""
    instance = Larder({"admin_password": "correct-horse"})
    over = threading.Event()
    for i, path in enumerate([*HOSTILE, "/debian/pool/main/l/linux/linux-image_6.1_amd64.deb"]):
        for host in ("127.0.0.1", "localhost"):
            url = origin.on(path, Reply(pattern(90_000 * (i + 1)), fields=FRESH))
            url = url.replace("127.0.0.1", host)
            for _ in range(3):
                instance.get(url)

    def slow(exchange):
        exchange.head(200, {"Content-Length": 1_000_000, **FRESH})
        exchange.send(b"x" * 400_000)
        while not over.wait(0.5):
            exchange.send(b"x" * 100)
    client = instance.client()
    client.send_head("GET", origin.on("/<b>slow</b>.iso", slow))
    client.final_head()
    yield instance
    over.set()
    client.close()
    instance.close()


@pytest.fixture(scope="module")
def browser():
    instance = chromium.Chromium()
    yield instance
    instance.close()


@pytest.fixture
def page(browser, larder):
    """The page with its figures; its console stays silent."""
    def look(host="127.0.0.1", **kw):
        browser.said.clear()
        browser.open(f"http://{host}:{larder.port}/", **kw)
        browser.wait_for("document.getElementById('live').dataset.state === 'live'")
        browser.wait_for("document.querySelectorAll('#newest .url').length > 0", 60)
        return browser
    yield look
    browser.evaluate("0")  # what has been said by now
    assert browser.said == []


@pytest.mark.parametrize("look", LOOKS)
def test_looks(page, look):
    tab = page(**LOOKS[look])
    assert "KiB" in tab.evaluate("document.getElementById('today').textContent") or \
        "MiB" in tab.evaluate("document.getElementById('today').textContent")
    # Nothing is wider than the window.
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    folder = os.environ.get("LARDER_TEST_SHOTS")
    if folder:
        tab.screenshot(f"{folder}/{look.replace(' ', '-')}.png")


CONTRAST = r"""
(function () {
  function light(c) {
    return c.slice(0, 3).map(function (v) {
      v /= 255;
      return v <= .03928 ? v / 12.92 : Math.pow((v + .055) / 1.055, 2.4);
    }).reduce(function (sum, v, i) { return sum + v * [.2126, .7152, .0722][i]; }, 0);
  }
  function parse(s) { var n = s.match(/[\d.]+/g).map(Number); return n.length < 4 ? n.concat(1) : n; }
  function behind(e) {
    for (; e; e = e.parentElement) {
      var c = parse(getComputedStyle(e).backgroundColor);
      if (c[3] === 1) return c;
    }
    return [255, 255, 255, 1];
  }
  var worst = [99, ""], seen = 0;
  var walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    var e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || /^(SCRIPT|STYLE|NOSCRIPT|TITLE)$/i.test(e.tagName) || e.closest("title")) continue;
    var style = getComputedStyle(e), a, b, ratio;
    if (e.getClientRects().length === 0) continue;
    a = light(parse(e.namespaceURI.indexOf("svg") > 0 ? style.fill : style.color));
    b = light(behind(e));
    ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    seen++;
    if (ratio < worst[0]) worst = [ratio, e.tagName + "#" + e.id + "." + e.className + ": " + walk.currentNode.data.trim()];
  }
  return [worst[0], worst[1], seen];
})()
"""


@pytest.mark.parametrize("look", LOOKS)
def test_contrast(page, look):
    """WCAG 2 AA: 4.5:1, of all text that is to be seen."""
    tab = page(**LOOKS[look])
    tab.evaluate("document.querySelectorAll('details').forEach(function (d) { d.open = true; })")
    ratio, where, seen = tab.evaluate(CONTRAST)
    assert seen > 50
    assert ratio >= 4.5, where


def test_every_thing_has_a_name(page):
    """As the browser's accessibility tree has them: buttons, fields, tables' columns."""
    tab = page()
    tab.evaluate("document.querySelectorAll('details').forEach(function (d) { d.open = true; })")
    tree = tab.call("Accessibility.getFullAXTree")["nodes"]
    named = {"button", "link", "textbox", "heading", "img", "image", "meter", "progressbar",
             "columnheader", "region"}
    seen = {}
    for node in tree:
        role = node.get("role", {}).get("value")
        if node.get("ignored") or role not in named:
            continue
        seen.setdefault(role, []).append(node.get("name", {}).get("value", "").strip())
    assert {role: names for role, names in seen.items() if not all(names)} == {}
    assert len(set(seen["button"])) == len(seen["button"]), seen["button"]
    assert len(seen["textbox"]) == 2 and seen["meter"] and seen["columnheader"]
    assert tab.evaluate("document.documentElement.lang") == "en"
    levels = tab.evaluate("Array.from(document.querySelectorAll('h1,h2,h3'))"
                          ".map(function (h) { return +h.tagName[1]; })")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:]))


def test_by_keyboard_alone(page):
    tab = page()
    reached = []
    for _ in range(30):
        tab.key("Tab", 9)
        reached.append(tab.evaluate(
            "(function (e) { return e.id || e.getAttribute('aria-label') || e.textContent.trim(); })"
            "(document.activeElement)"))
        # What has the focus shows it.
        assert tab.evaluate("document.activeElement === document.body || "
                            "getComputedStyle(document.activeElement).outlineStyle !== 'none'")
        if reached[-1] == "by-days":
            tab.key("Enter", 13)
            assert tab.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
            assert "30 days" in tab.evaluate("document.querySelector('#chart svg').getAttribute('aria-label')")
    assert reached[0].startswith("To how") and "by-hours" in reached
    assert "Copy the line for apt" in reached and "Purge" in reached and "/metrics" in reached


def test_no_url_becomes_markup(page):
    tab = page()
    assert tab.evaluate("document.title") == "larder"
    shown = tab.evaluate("document.body.innerText")
    assert "/%3Cscript%3Edocument.title='owned'%3C/script%3E" in shown
    assert "/<b>slow</b>.iso" in shown
    assert "/<script>document.title='owned'</script>" in shown
    assert tab.evaluate("document.querySelectorAll('script').length") == 1
    assert tab.evaluate("document.querySelectorAll('main img, main b:not([data-apt]):not([data-proxy])').length") == 0


def test_live(page, larder, origin):
    tab = page()
    before = tab.evaluate("document.getElementById('ever-sub').textContent")
    url = origin.on("/live", Reply(pattern(1000), fields=FRESH))
    for _ in range(5):
        larder.get(url)
    tab.wait_for(f"document.getElementById('ever-sub').textContent !== {json.dumps(before)}")
    assert "slow" in tab.evaluate("document.getElementById('flights').textContent")
    assert tab.evaluate("document.querySelector('#flights progress').value") >= 400_000


def test_exact_lines_and_buttons_that_copy(page, larder):
    tab = page()
    lines = tab.evaluate("Array.from(document.querySelectorAll('.copy code'))"
                         ".map(function (c) { return c.textContent; })")
    at = f"http://127.0.0.1:{larder.port}"
    assert lines[0] == f"echo 'Acquire::http::Proxy \"{at}\";' | sudo tee /etc/apt/apt.conf.d/30larder"
    assert lines[1].startswith(f"export http_proxy={at} https_proxy={at} ")
    assert lines[2] == f"{at}/proxy.pac"
    # As on an office's network: no HTTPS, so no clipboard interface; by selection.
    tab.evaluate("Object.defineProperty(window, 'isSecureContext', {value: false});"
                 "window.copied = []; document.addEventListener('copy', function () {"
                 " window.copied.push(getSelection().toString()); })")
    for i in range(len(lines)):
        box = tab.evaluate(f"(function (b) {{ b.scrollIntoView(); var r = b.getBoundingClientRect();"
                           f" return [r.x + r.width / 2, r.y + r.height / 2]; }})"
                           f"(document.querySelectorAll('.copy button')[{i}])")
        for kind in ("mousePressed", "mouseReleased"):
            tab.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)
        tab.wait_for(f"document.querySelectorAll('.copy button')[{i}].textContent === 'Copied'")
    assert [line.strip() for line in tab.evaluate("window.copied")] == lines


def test_purge_from_the_page(page, larder, origin):
    url = origin.on("/purge-me", Reply(pattern(1000), fields=FRESH))
    larder.get(url)
    wait_for(lambda: "purge-me" in larder.ctl("ls").stdout, what="the object")
    tab = page()

    def press(value):
        tab.evaluate("document.getElementById('purge-said').textContent = ''")
        tab.evaluate(f"document.querySelector('#purge-form button[value={value}]').click()")
        return tab.wait_for("/freed|\\w\\.$/.test(document.getElementById('purge-said').textContent.trim())"
                            " && document.getElementById('purge-said').textContent")
    tab.evaluate("document.getElementById('purge').open = true;"
                 f"document.getElementById('purge-what').value = {json.dumps(url)};"
                 "document.getElementById('purge-password').value = 'wrong'")
    assert "not admin_password" in press("remove")
    assert "purge-me" in larder.ctl("ls").stdout
    time.sleep(1.1)
    tab.evaluate("document.getElementById('purge-password').value = 'correct-horse'")
    assert "1 object, " in press("count")
    assert "purge-me" in larder.ctl("ls").stdout
    assert "freed." in press("remove")
    assert "purge-me" not in larder.ctl("ls").stdout
    # The browser tells of the 401; nothing else is on the console.
    assert all("401" in said for said in tab.said)
    tab.said.clear()


def test_another_sites_page_gets_nothing(browser, larder):
    """Its script may not read the data, frame the page, or purge; by its own name that leads
    here (DNS rebinding) there is nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve():
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    peer.recv(65536)
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n"
                                 b"Content-Length: 13\r\n\r\n<p>other</p>\n")
        threading.Thread(target=serve, daemon=True).start()
        browser.open(f"http://localhost:{port}/")
        at = f"http://127.0.0.1:{larder.port}"
        for path, options in (("/api/stats", {}), ("/metrics", {}), ("/", {}), ("/api/purge?match=*", {
                "method": "POST", "headers": {"X-Larder": "1", "Authorization": "Bearer correct-horse"}})):
            assert browser.evaluate(
                f"fetch({json.dumps(at + path)}, {json.dumps(options)})"
                ".then(function () { return 'read'; }, function () { return 'refused'; })") == "refused", path
        status = browser.evaluate(
            f"fetch({json.dumps(at)} + '/api/stats', {{mode: 'no-cors'}})"
            ".then(function (r) { return r.type; }, function () { return 'refused'; })")
        assert status == "refused"
        browser.evaluate(f"(function () {{ var f = document.createElement('iframe'); f.src = '{at}/';"
                         " document.body.appendChild(f); })()")
        time.sleep(1)
        assert browser.evaluate(
            "(function () { try { return frames[0].document.body.innerText; } catch (e) { return 'opaque'; } })()"
        ) in ("opaque", "")
        assert larder.ctl("ls").stdout.count("http") > 3


PAC_CASES = {
    # url, host, what the name resolves to: directly?
    ("http://deb.debian.org/x", "deb.debian.org", "151.101.2.132"): False,
    ("https://deb.debian.org/x", "deb.debian.org", "151.101.2.132"): False,
    ("https://deb.debian.org:443/x", "deb.debian.org", "151.101.2.132"): False,
    ("https://deb.debian.org:8443/x", "deb.debian.org", "151.101.2.132"): True,
    ("wss://chat.example/", "chat.example", "203.0.114.1"): False,
    ("ws://chat.example/", "chat.example", "203.0.114.1"): True,
    ("ftp://deb.debian.org/", "deb.debian.org", "151.101.2.132"): True,
    ("http://deb.debian.org:8080/x:9", "deb.debian.org", "151.101.2.132"): False,
    ("http://intranet/", "intranet", "203.0.114.1"): True,
    ("http://localhost/", "localhost", "127.0.0.1"): True,
    ("http://printer.local/", "printer.local", "10.0.0.9"): True,
    ("http://wiki.office.example/", "wiki.office.example", "10.1.2.3"): True,
    ("http://nowhere.example/", "nowhere.example", None): False,
    ("http://10.1.2.3/", "10.1.2.3", "10.1.2.3"): True,
    ("http://172.16.0.1/", "172.16.0.1", None): True,
    ("http://172.32.0.1/", "172.32.0.1", None): False,
    ("http://192.168.1.1/", "192.168.1.1", None): True,
    ("http://100.64.0.1/", "100.64.0.1", None): True,
    ("http://100.128.0.1/", "100.128.0.1", None): False,
    ("http://169.254.1.1/", "169.254.1.1", None): True,
    ("http://8.8.8.8/", "8.8.8.8", None): False,
    ("http://[::1]/", "[::1]", None): True,
    ("http://[fd00::1]/", "[fd00::1]", None): True,
    ("http://[fe80::1]/", "fe80::1", None): True,
    ("http://[2001:db9::1]/", "[2001:db9::1]", None): False,
    ("http://[2001:db9::1]:8080/", "2001:db9::1", None): False,
}


def test_pac_decides(browser, larder):
    pac = larder.get("/proxy.pac", host=f"127.0.0.1:{larder.port}").text
    browser.open("about:blank#pac")
    for (url, host, ip), direct in PAC_CASES.items():
        said = browser.evaluate(
            f"(function () {{ var dnsResolve = function () {{ return {json.dumps(ip)}; }};\n{pac}\n"
            f"return FindProxyForURL({json.dumps(url)}, {json.dumps(host)}); }})()")
        assert said == ("DIRECT" if direct else f"PROXY 127.0.0.1:{larder.port}; DIRECT"), url
    assert re.search(r"var TUNNELS = \[443\];", pac)
