"""Rules and presets as an admin meets them: explained, purged by tag, included."""
import json
import re
import time

import pytest

from harness.daemon import ROOT, larderd, wait_for
from harness.origin import Reply

PRESETS = sorted((ROOT / "conf/presets").glob("*.conf"))
FRESH = {"Cache-Control": "max-age=600"}


def explain(larder, url, *args):
    return json.loads(larder.ctl("--json", "explain", *args, url, check=0).stdout)


def urls(larder):
    tree = json.loads(larder.ctl("--json", "ls", check=0).stdout)
    return sorted(o["url"] for o in tree["objects"])


def purged(larder, *args):
    return json.loads(larder.ctl("--json", "purge", *args, check=0).stdout)["objects"]


# -- presets ---------------------------------------------------------------
@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: p.stem)
def test_preset_is_good(preset, tmp_path):
    """By itself, and included by one line."""
    assert larderd("-t", "-c", preset).returncode == 0
    conf = tmp_path / "larder.conf"
    conf.write_text(f'include("{preset}")\n')
    done = larderd("-n", "-c", conf)
    assert done.returncode == 0 and "rule {" in done.stdout
    # The line that it tells its reader to write.
    assert f'include("presets/{preset.name}")' in preset.read_text()


def test_all_presets_together(make):
    larder = make(start=False, extra="\n".join(f'include("{p}")' for p in PRESETS))
    assert larderd("-t", "-c", larder.conf).returncode == 0


HEX = "0123456789abcdef" * 4
EXPECTED = [
    # preset, URL, effect that must be there, effect that must not
    ("debian", "http://deb.debian.org/debian/pool/main/a/apt/apt_2_amd64.deb", "immutable", "revalidate"),
    ("debian", "http://security.debian.org/debian-security/pool/updates/x.deb", "immutable", "revalidate"),
    ("debian", "http://mirror.test/ubuntu/pool/main/x_1.dsc", "immutable", "revalidate"),
    ("debian", f"http://deb.debian.org/debian/dists/sid/main/binary-amd64/by-hash/SHA256/{HEX}",
     "immutable", "revalidate"),
    ("debian", "http://deb.debian.org/debian/dists/sid/InRelease", "revalidate", "immutable"),
    ("debian", "http://deb.debian.org/debian/dists/sid/main/binary-amd64/Packages.xz", "revalidate",
     "immutable"),
    ("debian", "http://flat.test/repo/Packages.gz", "revalidate", "immutable"),
    ("debian", "http://other.test/pool/main/x.deb", None, "immutable"),
    ("pypi", "https://files.pythonhosted.org/packages/ab/cd/x-1.whl", "immutable", None),
    ("pypi", "https://pypi.org/simple/requests/", "max_fresh 600 s", "immutable"),
    ("npm", "https://registry.npmjs.org/left-pad/-/left-pad-1.3.0.tgz", "immutable", None),
    ("npm", "https://registry.npmjs.org/left-pad", "max_fresh 300 s", "immutable"),
    ("rpm", f"http://m.test/fedora/repodata/{HEX}-primary.xml.gz", "immutable", "revalidate"),
    ("rpm", "http://m.test/fedora/repodata/repomd.xml", "revalidate", "immutable"),
    ("rpm", "http://m.test/fedora/Packages/b/bash-5.rpm", "min_fresh 2592000 s", "immutable"),
    ("containers", f"http://registry.test/v2/library/debian/blobs/sha256:{HEX}", "immutable", "never"),
    ("containers", "http://registry.test/v2/library/debian/manifests/latest", "revalidate", "immutable"),
    ("containers", f"http://registry.test/v2/library/debian/manifests/sha256:{HEX}", "immutable",
     "revalidate"),
    ("containers", "http://registry.test/v2/library/debian/blobs/uploads/1", "never", "immutable"),
    ("windows-update", "http://tlu.dl.delivery.mp.microsoft.com/filestreamingservice/files/x?P1=1",
     "ignore_query", None),
    ("windows-update", "http://au.download.windowsupdate.com/d/msdownload/update/software/x.cab",
     "immutable", None),
    ("games", "http://cache1.steamcontent.com/depot/123/chunk/abc?token=1", "ignore_query", None),
    ("games", "http://level3.blizzard.com/tpr/wow/config/ab/cd/x", None, "immutable"),
]


@pytest.fixture(scope="module")
def offline():
    """A stopped daemon's store, to ask of: with each preset alone."""
    from harness.daemon import Larder
    larder = Larder()
    assert larder.stop() == 0
    yield larder
    larder.close()


@pytest.mark.parametrize("preset,url,has,lacks", EXPECTED, ids=lambda v: None if v is None else v[-30:])
def test_preset_knows(offline, preset, url, has, lacks):
    offline.extra = f'include("{ROOT}/conf/presets/{preset}.conf")'
    offline.write_conf()
    rule = explain(offline, url)["rule"]
    effects = rule["effects"] if rule else []
    assert has is None or has in effects, rule
    assert lacks not in effects, rule
    if rule:
        assert rule["file"].endswith(f"{preset}.conf") and rule["line"] > 0
    # None of them overrides what an origin forbids.
    assert not [e for e in effects if e.startswith("force")]


def test_presets_force_nothing():
    for preset in PRESETS:
        code = re.sub(r"#.*", "", preset.read_text())
        assert "force" not in code, preset


def test_installed(tmp_path):
    import subprocess
    subprocess.run(["make", "-s", "-C", ROOT, "install", f"DESTDIR={tmp_path}", "PREFIX=/usr"],
                   check=True, stdin=subprocess.DEVNULL, capture_output=True)
    installed = tmp_path / "etc/larder/presets"
    assert sorted(p.name for p in installed.iterdir()) == [p.name for p in PRESETS]
    # Relative to the including file, as a preset's own first lines say.
    conf = tmp_path / "etc/larder/larder.conf"
    conf.write_text(conf.read_text() + '\ninclude("presets/debian.conf")\n')
    assert larderd("-t", "-c", conf).returncode == 0


def test_indices_are_of_one_time(make, origin, path):
    """Whatever lifetimes the origin gives: what is asked for together is what the origin
    has now; and when it fails, nothing old stands in."""
    larder = make(extra=f'include("{ROOT}/conf/presets/debian.conf")')
    base = f"{path}/debian/dists/sid"
    state = {"time": 1, "up": True}

    def index(exchange):
        if not state["up"]:
            return Reply("down", 503)
        return Reply(f"of {state['time']}", fields={
            "Cache-Control": "max-age=3600, stale-if-error=3600", "ETag": f'"{state["time"]}"'})
    names = ["InRelease", "main/binary-amd64/Packages.xz"]
    indices = [origin.on(f"{base}/{name}", index) for name in names]
    for now in (1, 1, 2, 3):
        state["time"] = now
        assert [larder.get(u).body for u in indices] == [b"of %d" % now] * 2
    state["up"] = False
    assert [larder.get(u).status for u in indices] == [503, 503]


# -- explain ---------------------------------------------------------------
def test_explain_names_the_rule(make, origin, path):
    larder = make(extra='\n\nrule { match = "*/none/*" never = true }\n'
                        f'rule {{ match = "*{path}*" min_fresh = "1h" tag = "x" }}\n')
    url = origin.on(path, Reply("x"))
    line = larder.conf.read_text().splitlines().index(
        f'rule {{ match = "*{path}*" min_fresh = "1h" tag = "x" }}') + 1
    larder.get(url)
    found = explain(larder, url)
    assert found["rule"] == {"match": f"*{path}*", "file": str(larder.conf), "line": line,
                             "effects": ["min_fresh 3600 s", "tag x"]}
    assert found["variants"][0]["lifetime_from"] == "rule"
    assert found["variants"][0]["tags"] == ["x"]
    text = larder.ctl("explain", url, check=0).stdout
    assert f"{larder.conf}:{line}" in text and "a rule gave it that lifetime" in text
    never = larder.ctl("explain", origin.url("/none/x"), check=0).stdout
    assert "a rule says" in never and "would not be a hit" in never


def test_explain_says_until_when(make, origin, path):
    larder = make()
    url = origin.on(path, Reply("x", fields={"Cache-Control": "max-age=600", "ETag": '"a"'}))
    larder.get(url)
    found = explain(larder, url)
    assert found["hit"] and 590 <= found["variants"][0]["fresh_until"] - found["now"] <= 600
    assert found["variants"][0]["stands_in_until"] - found["variants"][0]["fresh_until"] == 86400
    text = larder.ctl("explain", url, check=0).stdout
    when = time.strftime("%F %H:%M", time.localtime(found["variants"][0]["fresh_until"]))
    assert "until " + when in text
    assert "asked whether it still holds" in text and "entity tag" in text
    assert "is answered from the cache" in text


@pytest.mark.parametrize("fields,words", [
    ({"Last-Modified": "Tue, 03 Mar 2026 10:00:00 GMT"}, "by its date of change"),
    ({"Last-Modified": "Tuesday, 03-Mar-26 10:00:00 GMT", "ETag": '"a"'},
     "by its entity tag and date of change"),
    ({}, "nothing to compare it by")])
def test_explain_says_by_what_it_is_compared(make, origin, path, fields, words):
    larder = make()
    url = origin.on(path, Reply("x", fields={"Cache-Control": "max-age=600", **fields}))
    larder.get(url)
    found = explain(larder, url)["variants"][0]
    assert found["last_modified"] == fields.get("Last-Modified")
    assert words in larder.ctl("explain", url, check=0).stdout


def test_explain_after_it_is_stale(make, origin, path):
    larder = make()
    url = origin.on(path, Reply("x", fields={"Cache-Control": "max-age=1, must-revalidate",
                                             "ETag": '"a"'}))
    larder.get(url)
    time.sleep(2.1)
    text = larder.ctl("explain", url, check=0).stdout
    assert "no longer fresh" in text and "asks the origin whether" in text
    assert "nothing stands in" in text


def test_explain_of_variants(make, origin, path):
    """Which one would match, given -H."""
    larder = make()
    url = origin.on(path, lambda x: Reply(x.request.get("A"), fields={**FRESH, "Vary": "A"}))
    for a in ("one", "two"):
        larder.get(url, {"A": a})
    for a, hit in (("one", True), ("two", True), ("three", False)):
        found = explain(larder, url, "-H", f"A: {a}")
        assert found["hit"] is hit
        chosen = [v for v in found["variants"] if v["chosen"]]
        assert len(chosen) == hit
        if hit:
            assert a in chosen[0]["variant"] and chosen[0]["matches"]
    assert "none of them for this request" in larder.ctl("explain", url, check=0).stdout


def test_explain_of_a_request(make, origin, path):
    larder = make()
    url = origin.on(path, Reply("x", fields=FRESH))
    larder.get(url)
    assert "Authorization" in larder.ctl("explain", "-H", "Authorization: x", url, check=0).stdout
    assert explain(larder, url, "-H", "Cache-Control: no-cache")["why"] == "request"
    assert explain(larder, url, "-H", "Cache-Control: no-store")["action"] == "pass"
    assert explain(larder, url, "-H", "Range: bytes=0-0")["hit"]


def test_explain_and_the_next_request_agree(make, origin, path):
    """explain is the proxy's own walk."""
    larder = make(extra=f'rule {{ match = "*{path}/never*" never = true }}\n'
                        f'rule {{ match = "*{path}/ask*" revalidate = true }}\n'
                        f'rule {{ match = "*{path}/q*" ignore_query = true }}')
    for name in ("plain", "never", "ask", "q"):
        origin.on(f"{path}/{name}", Reply(name, fields={**FRESH, "ETag": '"a"'}))
    for name in ("plain", "never", "ask", "q?b", "q?c", "none"):
        url = origin.url(f"{path}/{name}")
        for _ in range(2):
            found = explain(larder, url)
            got = larder.get(url)
            assert found["hit"] == got.hit, name
            assert found["why"] == got.cache_status.get("fwd"), (name, got.cache_status)


# -- purge by tag and by use -----------------------------------------------
@pytest.mark.parametrize("state", ["up", "down"])
def test_purge_by_tag(make, origin, path, state):
    larder = make(sites={"own.test": {"origin": origin.url(""), "targeted": "CDN-Cache-Control"}},
                  extra=f'rule {{ match = "*{path}/rule*" tag = {{"red", "blue"}} }}')
    rule = origin.on(f"{path}/rule", Reply("x", fields=FRESH))
    plain = origin.on(f"{path}/plain", Reply("x", fields={**FRESH, "Cache-Tag": "red"}))
    own = f"{path}/own"
    origin.on(own, Reply("x", fields={**FRESH, "Cache-Tag": "green, red", "Surrogate-Key": "k1 k2"}))
    larder.get(rule)
    larder.get(plain)
    larder.get(own, host="own.test")
    wait_for(lambda: len(urls(larder)) == 3)
    if state == "down":
        assert larder.stop() == 0
    assert purged(larder, "--tag", "re") == 0
    assert purged(larder, "--dry-run", "--tag", "red") == 2
    assert purged(larder, "--tag", "k2") == 1
    assert urls(larder) == sorted([rule, plain])
    # An origin that is not ours names no tags here.
    assert purged(larder, "--tag", "green") == 0
    assert purged(larder, "--tag", "blue") == 1
    assert urls(larder) == [plain]


def test_tags_after_a_304(make, origin, path):
    larder = make(sites={"own.test": {"origin": origin.url(""), "targeted": "CDN-Cache-Control"}})

    def answer(exchange):
        if exchange.request.get("If-None-Match"):
            return Reply("", 304, fields={"Cache-Control": "max-age=600", "ETag": '"a"',
                                          "Cache-Tag": "new"})
        return Reply("x", fields={"Cache-Control": "max-age=0", "ETag": '"a"', "Cache-Tag": "old"})
    origin.on(path, answer)
    for _ in range(2):
        assert larder.get(path, host="own.test").status == 200
    assert purged(larder, "--tag", "old") == 0
    assert purged(larder, "--tag", "new") == 1


@pytest.mark.parametrize("state", ["up", "down", "restarted"])
def test_purge_what_is_unused(make, origin, path, state):
    larder = make()
    kept, gone = (origin.on(f"{path}/{n}", Reply("x", fields=FRESH)) for n in ("kept", "gone"))
    larder.get(kept)
    larder.get(gone)
    wait_for(lambda: len(urls(larder)) == 2)
    assert larder.get(kept).hit
    time.sleep(2.1)
    if state == "down":
        assert larder.stop() == 0
    elif state == "restarted":
        larder.restart()
    assert purged(larder, "--unused-for", "1h") == 0
    assert purged(larder, "--dry-run", "--unused-for", "1s") == 1
    assert purged(larder, "--unused-for", "1s") == 1
    assert urls(larder) == [kept]


def test_unused_for_has_a_bound(larder):
    done = larder.ctl("purge", "--unused-for", "121d")
    assert done.returncode == 1 and "120" in done.stderr
    larder.ctl("purge", "--dry-run", "--unused-for", "120d", check=0)


@pytest.mark.parametrize("option", ["--tag", "--match", "--host"])
def test_an_empty_choice_is_not_everything(make, origin, path, option):
    """A variable of a script that was not set."""
    larder = make()
    url = origin.on(path, Reply("x", fields=FRESH))
    larder.get(url)
    wait_for(lambda: urls(larder) == [url])
    assert larder.ctl("purge", option, "").returncode == 2
    assert urls(larder) == [url]


def test_purge_with_ignored_query(make, origin, path):
    larder = make(extra=f'rule {{ match = "*{path}*" ignore_query = true }}')
    url = origin.on(path, Reply("x", fields=FRESH))
    larder.get(url + "?a")
    wait_for(lambda: urls(larder) == [url])
    assert purged(larder, origin.url(path + "?another")) == 1
    assert urls(larder) == []


def test_used_counts_in_the_budget(make, origin, path):
    larder = make({"cache": {"size": "16M"}})
    url = origin.on(path, Reply("x", fields=FRESH))
    larder.get(url)
    assert larder.get(url).hit
    assert larder.stop() == 0
    assert (larder.cache / "used").stat().st_size > 60_000
    stats = json.loads(larder.ctl("--json", "stats", check=0).stdout)
    assert larder.disk() <= stats["store"]["disk_budget"]
    assert stats["store"]["disk_used"] >= larder.disk()
