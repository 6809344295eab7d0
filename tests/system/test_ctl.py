"""larderctl, with the daemon running and down."""
import json
import re

import pytest

from harness.daemon import Larder, wait_for
from harness.origin import Reply, pattern

FRESH = {"Cache-Control": "max-age=600"}
COMMANDS = ["stats", "ls", "explain", "purge", "gc", "reload", "ping", "version"]


def numbers(tree, found=None):
    """Every number in a JSON tree by the name it stands under."""
    found = {} if found is None else found
    if isinstance(tree, dict):
        for key, value in tree.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                found[key] = value
            numbers(value, found)
    elif isinstance(tree, list):
        for value in tree:
            numbers(value, found)
    return found


def objects(larder, *args):
    """What `ls --json` lists: a list of objects with their URLs."""
    tree = json.loads(larder.ctl("--json", "ls", *args, check=0).stdout)
    found = tree if isinstance(tree, list) else tree.get("objects")
    assert isinstance(found, list), tree
    return found


def urls(larder, *args):
    return sorted(o["url"] for o in objects(larder, *args))


@pytest.fixture
def filled(make, origin, request):
    """A daemon of its own with three objects on one host and one on another."""
    larder = make()
    path = f"/objects/{request.node.originalname}"
    larder.urls = [origin.on(f"{path}/{name}", Reply(pattern(size), fields=FRESH))
                   for name, size in (("a.deb", 5000), ("b.deb", 400_000), ("c.html", 10))]
    origin.on(f"{path}/d", Reply("d", fields=FRESH))
    larder.urls.append(origin.url(f"{path}/d", "localhost"))
    for url in larder.urls:
        larder.get(url)
    larder.get(larder.urls[0])
    wait_for(lambda: len(urls(larder)) == 4, what="four objects")
    return larder


@pytest.fixture(params=["up", "down"])
def either(filled, request):
    """The same commands, over the socket and on the store itself."""
    if request.param == "down":
        assert filled.stop() == 0
    return filled


# -- while it runs ---------------------------------------------------------
def test_ping(larder):
    larder.ctl("ping", check=0)


def test_version(larder):
    assert re.search(r"\d+\.\d+", larder.ctl("version", check=0).stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(larder, command):
    done = larder.ctl(command, "--help", check=0)
    assert command in done.stdout and not done.stderr


def test_help_of_all(larder):
    text = larder.ctl("--help", check=0, conf=False).stdout
    for command in COMMANDS:
        assert command in text


@pytest.mark.parametrize("command", [["ping"], ["version"], ["stats"], ["ls"], ["gc"],
                                     ["reload"], ["explain", "http://x.test/"],
                                     ["purge", "http://x.test/"]])
@pytest.mark.parametrize("where", ["before", "behind"])
def test_json(larder, command, where):
    """--json before the command, as CONTRACT has it, and behind it."""
    args = ["--json", *command] if where == "before" else [*command, "--json"]
    json.loads(larder.ctl(*args, check=0).stdout)


def test_stats_count(make, origin, path):
    larder = make()
    body = b"x" * 10_000
    url = origin.on(path, Reply(body, fields=FRESH))
    for _ in range(4):
        larder.get(url)
    found = numbers(json.loads(larder.ctl("--json", "stats", check=0).stdout))
    assert found["requests"] == 4 and found["hits"] == 3 and found["misses"] == 1
    assert found["objects"] == 1
    assert found["served_bytes"] >= 40_000
    assert 10_000 <= found["fetched_bytes"] < 12_000
    assert found["hit_bytes"] == 30_000
    text = larder.ctl("stats", check=0).stdout
    for word in ("requests", "hits", "objects", "disk"):
        assert word in text.lower()


def test_socket_by_option(filled):
    done = filled.ctl("-s", filled.socket, "ping", conf=False)
    assert done.returncode == 0


def test_reload(filled, origin, path):
    filled.sites["new.test"] = origin.url("")
    filled.write_conf()
    filled.ctl("reload", check=0)
    origin.on(path, Reply("new"))
    assert filled.get(path, host="new.test").status == 200


def test_reload_with_a_mistake(filled):
    """Exit 1, and the same message as the daemon's."""
    filled.conf.write_text(filled.text() + "wokers = 1\n")
    done = filled.ctl("-s", filled.socket, "reload", conf=False)
    assert done.returncode == 1
    assert "wokers" in done.stderr and "workers" in done.stderr
    assert filled.get(filled.urls[0]).hit


def test_quiet_under_cron(filled):
    """-q: nothing on success."""
    for command in (["gc"], ["purge", filled.urls[0]], ["reload"]):
        done = filled.ctl("-q", *command, check=0)
        assert done.stdout == "" and done.stderr == "", command


# -- running and down ------------------------------------------------------
def test_ls(either):
    assert urls(either) == sorted(either.urls)
    text = either.ctl("ls", check=0).stdout
    for url in either.urls:
        assert url in text


@pytest.mark.parametrize("glob,count", [
    ("*", 4), ("*.deb", 2), ("*/c.html", 1), ("http://localhost*", 1), ("*.none", 0),
    ("*/?.deb", 2), ("*/[ab].deb", 2)])
def test_ls_glob(either, glob, count):
    assert len(urls(either, glob)) == count


def test_ls_of_nothing_is_no_failure(either):
    assert either.ctl("ls", "*.none", check=0).stdout.count("\n") <= 1


def test_ls_says_size_and_age(either):
    by_url = {o["url"]: o for o in objects(either)}
    entry = numbers(by_url[either.urls[1]])
    assert 400_000 in entry.values(), entry
    assert any(590 <= v <= 600 for v in entry.values()), "freshness left"


def test_ls_counts_hits(make, origin, path):
    """Not the request that stored it."""
    larder = make()
    for i in range(3):
        url = origin.on(f"{path}/{i}", Reply("x", fields=FRESH))
        for _ in range(i + 1):
            larder.get(url)
    assert [o["hits"] for o in sorted(objects(larder), key=lambda o: o["url"])] == [0, 1, 2]


def test_explain(either):
    text = either.ctl("explain", either.urls[0], check=0).stdout.lower()
    assert "hit" in text or "fresh" in text
    assert "max-age=600" in text, "the stored head"
    text = either.ctl("explain", "http://nowhere.test/", check=0).stdout.lower()
    assert "not" in text and ("stored" in text or "cached" in text or "found" in text)


def test_explain_json(either):
    stored = json.loads(either.ctl("--json", "explain", either.urls[0], check=0).stdout)
    absent = json.loads(either.ctl("--json", "explain", "http://nowhere.test/",
                                   check=0).stdout)
    assert stored != absent
    assert len(stored["variants"]) == 1 and not absent["variants"]


def test_explain_variants(make, origin, path):
    larder = make()
    url = origin.on(path, lambda x: Reply(x.request.get("A"), fields={**FRESH, "Vary": "A"}))
    for a in ("one", "two"):
        larder.get(url, {"A": a})
    found = json.loads(larder.ctl("--json", "explain", url, check=0).stdout)
    assert len(found["variants"]) == 2


def test_stats(either):
    found = numbers(json.loads(either.ctl("--json", "stats", check=0).stdout))
    assert found["objects"] == 4
    assert 512 << 20 in found.values(), "the budget"


def test_gc(either):
    either.ctl("gc", check=0)
    assert len(urls(either)) == 4, "what fits stays"


def freed(done):
    """Objects and bytes that a purge says it freed."""
    found = numbers(json.loads(done.stdout))
    return found["objects"], found["bytes"]


def test_purge_url(either):
    count, size = freed(either.ctl("--json", "purge", either.urls[0], check=0))
    assert count == 1 and size > 0
    assert urls(either) == sorted(either.urls[1:])


def test_purge_several_urls(either):
    count, _ = freed(either.ctl("--json", "purge", *either.urls[:2], check=0))
    assert count == 2
    assert len(urls(either)) == 2


def test_purge_host(either):
    count, _ = freed(either.ctl("--json", "purge", "--host", "localhost", check=0))
    assert count == 1
    assert urls(either) == sorted(either.urls[:3])


def test_purge_match(either):
    count, _ = freed(either.ctl("--json", "purge", "--match", "*.deb", check=0))
    assert count == 2
    assert not [u for u in urls(either) if u.endswith(".deb")]


def test_purge_all(either):
    count, _ = freed(either.ctl("--json", "purge", "--all", check=0))
    assert count == 4 and urls(either) == []


def test_purge_older_than(either):
    count, _ = freed(either.ctl("--json", "purge", "--older-than", "1h", check=0))
    assert count == 0
    import time
    time.sleep(1.2)
    count, _ = freed(either.ctl("--json", "purge", "--older-than", "1s", check=0))
    assert count == 4


def test_dry_run(either):
    for what in (["--all"], ["--match", "*.deb"], ["--host", "localhost"], [either.urls[0]],
                 ["--older-than", "1ms"]):
        count, size = freed(either.ctl("--json", "purge", "--dry-run", *what, check=0))
        assert count > 0 and size > 0, what
    assert len(urls(either)) == 4


def test_purge_prints_objects_and_bytes(either):
    text = either.ctl("purge", "--match", "*.deb", check=0).stdout
    assert re.search(r"\b2\b", text) and "object" in text.lower()


def test_purge_of_nothing_is_done(either):
    assert freed(either.ctl("--json", "purge", "http://nowhere.test/", check=0))[0] == 0
    either.ctl("purge", "--host", "nowhere.test", check=0)
    either.ctl("purge", "--match", "*.none", check=0)


def test_purged_while_down_is_a_miss_after_the_start(filled):
    assert filled.stop() == 0
    filled.ctl("purge", filled.urls[0], check=0)
    filled.start()
    assert not filled.get(filled.urls[0]).hit
    assert filled.get(filled.urls[1]).hit


def test_purged_is_a_miss_at_once(filled, origin):
    """On every worker, the memory tier as well."""
    url = filled.urls[0]
    for _ in range(20):
        assert filled.get(url).hit
    filled.ctl("purge", url, check=0)
    assert not filled.get(url).hit


def test_purge_takes_all_variants(make, origin, path):
    larder = make()
    url = origin.on(path, lambda x: Reply(x.request.get("A"), fields={**FRESH, "Vary": "A"}))
    for a in ("one", "two"):
        larder.get(url, {"A": a})
    larder.ctl("purge", url, check=0)
    for a in ("one", "two"):
        assert not larder.get(url, {"A": a}).hit


def test_purge_while_it_is_being_fetched(make, origin, path):
    """The clients get theirs whole; what was purged does not come back."""
    larder = make()
    body = pattern(1_000_000)
    url = origin.on(path, Reply(body, pace=(100_000, 0.1), fields=FRESH))
    with larder.client() as client:
        client.send_head("GET", url)
        head = client.final_head()
        larder.ctl("purge", url, check=0)
        assert b"".join(client.body(head, "GET")) == body


def test_purge_while_it_is_being_read(make, origin, path):
    larder = make()
    body = pattern(8_000_000)
    url = origin.on(path, Reply(body, fields=FRESH))
    larder.get(url)
    wait_for(lambda: larder.get(url).hit)
    with larder.client(receive_buffer=4096) as client:
        client.send_head("GET", url)
        head = client.final_head()
        larder.ctl("purge", url, check=0)
        assert b"".join(client.body(head, "GET")) == body


# -- down, and wrong -------------------------------------------------------
@pytest.mark.parametrize("command", ["ping", "reload"])
def test_needs_the_daemon(filled, command):
    """Exit 3."""
    assert filled.stop() == 0
    done = filled.ctl(command)
    assert done.returncode == 3, done
    assert str(filled.socket) in done.stderr


def test_after_kill_9(filled):
    """A socket without a daemon behind it is as good as none."""
    filled.kill()
    assert filled.ctl("ping").returncode == 3
    assert len(urls(filled)) <= 4


@pytest.mark.parametrize("args", [
    [], ["nonsense"], ["purge"], ["explain"], ["--nonsense", "ls"], ["ls", "--nonsense"],
    ["purge", "--older-than", "soon"], ["purge", "--host"], ["ping", "extra"],
    ["purge", "--all", "http://x.test/"], ["ls", "a", "b"]])
def test_usage_errors(larder, args):
    done = larder.ctl(*args)
    assert done.returncode == 2, done
    assert done.stderr.strip() and not done.stdout


def test_unknown_command_has_a_suggestion(larder):
    assert "purge" in larder.ctl("pruge", check=2).stderr


def test_purge_needs_a_choice(filled):
    """Nothing is removed by forgetting a word."""
    filled.ctl("purge", check=2)
    assert len(urls(filled)) == 4


def test_configuration_that_is_missing(filled):
    done = filled.ctl("-c", "/nonexistent/larder.conf", "ls", conf=False)
    assert done.returncode == 1 and "/nonexistent/larder.conf" in done.stderr


def test_store_that_is_missing(make):
    larder = make(start=False)
    done = larder.ctl("ls")
    assert done.returncode in (0, 1)
    if done.returncode:
        assert str(larder.cache) in done.stderr
    assert not larder.cache.exists(), "asking makes no store"


def test_admin_socket_is_not_for_others(larder):
    """Who may purge is decided by the file's mode."""
    assert larder.socket.stat().st_mode & 0o007 == 0


def test_garbage_on_the_admin_socket(larder):
    import socket
    for data in (b"\x00" * 1000, b"GET", b"purge\n", b"A" * 100_000,
                 b"GET /../../etc/passwd HTTP/1.1\r\n\r\n"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(str(larder.socket))
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except OSError:
                pass
    larder.ctl("ping", check=0)
