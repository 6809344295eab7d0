"""larderctl prefetch."""
import json
import subprocess

import pytest

from harness.daemon import LARDERCTL, PATIENCE, free_port
from harness.origin import Reply, pattern

FRESH = {"Cache-Control": "max-age=600"}


def outcomes(larder, *args, status=0):
    tree = json.loads(larder.ctl("--json", "prefetch", *args, check=status).stdout)
    return {u["url"]: u["outcome"] for u in tree["urls"]}, tree


def test_fetched_then_hit(make, origin, path):
    larder = make()
    url = origin.on(path, Reply(pattern(300_000), fields=FRESH))
    found, tree = outcomes(larder, url)
    assert found == {url: "fetched"} and tree["bytes"] == 300_000 and tree["fetched"] == 1
    assert larder.get(url).hit
    found, tree = outcomes(larder, url)
    assert found == {url: "hit"} and tree["hit"] == 1
    assert len(origin.seen(path)) == 1


def test_what_cannot_be_cached_is_told(make, origin, path):
    larder = make()
    secret = origin.on(path + "/a", Reply("x", fields={"Cache-Control": "no-store"}))
    good = origin.on(path + "/b", Reply("x", fields=FRESH))
    found, tree = outcomes(larder, secret, good, status=1)
    assert found == {secret: "not-stored", good: "fetched"}
    assert (tree["not_stored"], tree["fetched"], tree["failed"]) == (1, 1, 0)


def test_failures(make, origin, path):
    larder = make()
    none = origin.url(path + "/none")
    down = f"http://127.0.0.1:{free_port()}/"
    found, tree = outcomes(larder, none, down, status=1)
    assert found == {none: "failed", down: "failed"}
    by_url = {u["url"]: u for u in tree["urls"]}
    assert by_url[none]["status"] == 404
    assert by_url[down]["status"] == 502 and by_url[down]["detail"] == "connect-failed"


def test_a_body_that_breaks_off_is_a_failure(make, origin, path):
    larder = make()

    url = origin.on(path, Reply(pattern(3_000_000), cut=1_000_000, fields=FRESH))
    assert outcomes(larder, url, status=1)[0] == {url: "failed"}


def test_what_still_holds_is_fetched(make, origin, path):
    larder = make()

    def answer(exchange):
        if exchange.request.get("If-None-Match"):
            return Reply("", 304, fields={"ETag": '"a"'})
        return Reply("x", fields={"Cache-Control": "no-cache", "ETag": '"a"'})
    url = origin.on(path, answer)
    assert outcomes(larder, url)[0] == {url: "fetched"}
    _, tree = outcomes(larder, url)
    assert tree["fetched"] == 1 and "holds" in tree["urls"][0]["detail"]


def test_list_from_a_file_and_from_stdin(make, origin, path, tmp_path):
    larder = make()
    urls = [origin.on(f"{path}/{i}", Reply(str(i), fields=FRESH)) for i in range(30)]
    listed = tmp_path / "list"
    listed.write_text("# nightly\n\n" + "\n".join(urls[:10]) + "\r\n")
    assert set(outcomes(larder, "--list", listed)[0]) == set(urls[:10])
    done = subprocess.run([LARDERCTL, "-c", larder.conf, "--json", "prefetch", "--jobs", "8", "--list", "-"],
                          input="\n".join(urls), text=True, capture_output=True,
                          timeout=30 * PATIENCE)
    assert done.returncode == 0, done.stderr
    tree = json.loads(done.stdout)
    assert tree["hit"] == 10 and tree["fetched"] == 20
    done = larder.ctl("prefetch", "--list", tmp_path / "none")
    assert done.returncode == 1 and "none" in done.stderr


def test_fields_are_sent(make, origin, path):
    larder = make()
    url = origin.on(path, lambda x: Reply(x.request.get("A"), fields={**FRESH, "Vary": "A"}))
    larder.ctl("prefetch", "-H", "A: one", url, check=0)
    assert larder.get(url, {"A": "one"}).hit
    assert not larder.get(url, {"A": "two"}).hit


def test_of_a_site(make, origin, path):
    """As the site's clients ask, not as those of the forward proxy."""
    larder = make(sites={"own.test": origin.url("")})
    origin.on(path, Reply("x", fields=FRESH))
    larder.ctl("prefetch", f"http://own.test{path}", check=0)
    assert larder.get(path, host="own.test").hit


def test_in_words(make, origin, path):
    larder = make()
    url = origin.on(path, Reply("x" * 2048, fields=FRESH))
    text = larder.ctl("prefetch", url, check=0).stdout
    assert "fetched" in text and url in text and "2.0 KiB" in text
    assert "1 fetched, 0 hits" in text
    assert "\033" not in text


def test_quiet_under_cron(make, origin, path):
    larder = make()
    url = origin.on(path, Reply("x", fields=FRESH))
    done = larder.ctl("-q", "prefetch", url, check=0)
    assert done.stdout == done.stderr == ""
    done = larder.ctl("-q", "prefetch", url, origin.url(path + "/none"), check=1)
    assert done.stdout == "" and "/none" in done.stderr and "404" in done.stderr
    assert url + ":" not in done.stderr


def test_daemon_that_is_down(make, origin, path):
    larder = make()
    assert larder.stop() == 0
    done = larder.ctl("prefetch", origin.url(path))
    assert done.returncode == 3 and str(larder.socket) in done.stderr


@pytest.mark.parametrize("args", [[], ["not-a-url"], ["ftp://x/"], ["--jobs", "0", "http://x/"],
                                  ["--jobs", "65", "http://x/"], ["-H", "nocolon", "http://x/"]])
def test_usage(larder, args):
    assert larder.ctl("prefetch", *args).returncode == 2


def test_clients_that_may_not(make, origin, path):
    larder = make({"access": {"clients": ["10.0.0.0/8"]}})
    found, tree = outcomes(larder, origin.url(path), status=1)
    assert tree["urls"][0]["status"] == 403 and tree["urls"][0]["detail"] == "client-refused"
