"""What the disk, the power and time do to a store, as clients see it: never a wrong
byte, and the daemon goes on."""
import json
import os
import random
import subprocess
import threading
import time

import pytest

from harness.client import Aborted
from harness.daemon import ROOT, SLOW, sanitized, wait_for
from harness.origin import Reply, pattern

MIB = 1 << 20
FRESH = {"Cache-Control": "max-age=6000"}
SOAK = os.environ.get("LARDER_TEST_HUGE", "") not in ("", "0")


def stocked(make, origin, path, count=40, **options):
    """A daemon that has stored `count` objects, small and large, and their URLs."""
    larder = make({"workers": 1, **options})
    urls = {}
    for i in range(count):
        body = pattern(400_000 if i % 8 == 0 else 3_000 + i, i)
        urls[origin.on(f"{path}/{i}", Reply(body, fields=FRESH))] = body
    with larder.client() as client:
        for url, body in urls.items():
            assert client.get(url).body == body
    return larder, urls


def hits(larder, urls):
    """How many are hits; each answer must be right, or, where damage shows in the
    middle of it, break off."""
    count = 0
    for url, body in urls.items():
        try:
            answer = larder.get(url)
        except Aborted:
            continue
        assert answer.body == body, url
        count += answer.hit
    return count


# ---- kill -9 ---------------------------------------------------------------------

class Work(threading.Thread):
    """A client that stores, revalidates and purges until the daemon goes."""

    def __init__(self, larder, origin, path, number):
        super().__init__(daemon=True)
        self.larder, self.origin, self.path = larder, origin, f"{path}/{number}"
        self.rng = random.Random(number)
        self.stored, self.wrong, self.stop = {}, [], False
        self.round = 0

    def run(self):
        while not self.stop:
            try:
                self.step()
            except (OSError, Aborted, AssertionError):
                if not self.stop:
                    time.sleep(0.01)

    def step(self):
        self.round += 1
        n = self.rng.randrange(60)
        at = f"{self.path}/{n}"
        size = self.rng.choice((500, 5_000, 40_000, 300_000, 900_000))
        url = self.origin.url(at)
        kind = self.rng.randrange(12)
        if kind == 0:
            self.stored.pop(url, None)
            self.larder.ctl("purge", url)
            return
        if url not in self.stored:
            body = pattern(size, self.round)
            self.origin.on(at, Reply(body, fields={
                "Cache-Control": f"max-age={self.rng.choice((0, 600))}",
                "ETag": f'"{self.round}"'}))
        else:
            body = self.stored[url][0]
        answer = self.larder.get(url, fields=[("Cache-Control", "max-age=0")]
                                 if kind < 3 else [])
        if answer.body != body:
            self.wrong.append(url)
        self.stored.setdefault(url, (body, time.monotonic()))


@pytest.mark.parametrize("size", ["512M", "16M"], ids=["roomy", "tight"])
def test_killed_at_any_moment(make, origin, path, size):
    """Stores, revalidates, purges and evicts; kill -9; starts at once; all that is
    served is right. Over and over on the same store."""
    larder = make({"workers": 2, "cache": {"size": size, "memory": "1M"}})
    limit = int(size[:-1]) * MIB
    rng = random.Random(7)
    for turn in range(200 if SOAK else 4):
        work = [Work(larder, origin, f"{path}/{turn}", i) for i in range(3)]
        for w in work:
            w.start()
        until = time.monotonic() + rng.uniform(0.3, 2.5)
        while time.monotonic() < until:
            assert larder.disk() <= limit
            time.sleep(0.01)
        killed = time.monotonic()
        for w in work:
            w.stop = True
        larder.kill()
        for w in work:
            w.join()
            assert not w.wrong
        larder.start()
        assert "damaged" not in larder.messages()
        # Of what was done some seconds before all is there, where there is room.
        for w in work:
            for url, (body, done) in w.stored.items():
                assert larder.get(url).body == body
        wait_for(lambda: larder.disk() <= limit, 5, what="the budget")


# ---- the disk fails --------------------------------------------------------------

@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    if sanitized():
        pytest.skip("what is loaded before a sanitizer is in its way")
    path = tmp_path_factory.mktemp("shim") / "shim.so"
    subprocess.run(["gcc", "-O1", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", str(path),
                    str(ROOT / "tests/crash/shim.c")], check=True, stdin=subprocess.DEVNULL)
    return path


def fetch_all(larder, origin, folder):
    for i in range(30):
        body = pattern((900, 70_000, 600_000)[i % 3], i)
        url = origin.on(f"{folder}/{i}", Reply(
            body, fields=FRESH, framing="chunked" if i % 2 else "length"))
        assert larder.get(url).body == body


@pytest.mark.parametrize("error", [28, 5, 122, "short"], ids=["ENOSPC", "EIO", "EDQUOT", "short"])
def test_failing_calls(make, shim, origin, path, error):
    """A hundred calls fail, from some point on: every client has every byte, and
    then it stores again, and says in stats that calls failed."""
    for start in (range(30, 1000, 20) if SOAK else (80,)):
        larder = make({"workers": 1}, start=False)
        larder.env.update(LD_PRELOAD=str(shim), SHIM_ROOT=str(larder.cache.resolve()),
                          SHIM_FAIL=f"{start}:{error}:100")
        larder.start()
        turn = 0

        def failed():
            nonlocal turn
            turn += 1
            fetch_all(larder, origin, f"{path}/{start}/{turn}")
            stats = json.loads(larder.ctl("--json", "stats", check=0).stdout)["store"]
            return stats["io_errors"] or (error == "short" and turn > 3)
        wait_for(failed, 20, 0.3, "calls to fail")

        def stores():
            at = f"{path}/{start}/after/{time.monotonic()}"
            url = origin.on(at, Reply(pattern(600_000), fields=FRESH))
            larder.get(url)
            larder.ctl("gc")
            return larder.get(url).hit
        wait_for(stores, 20, 0.2, "a hit once calls go well")
        larder.kill()
        larder.env.pop("LD_PRELOAD")
        larder.start()
        for i in range(turn):
            fetch_all(larder, origin, f"{path}/{start}/{i + 1}")
        larder.ctl("verify", check=0)
        larder.close()


def test_slow_disk(make, shim, origin, path):
    """A full store, whose disk takes a second for each sync: what there is no room
    for in time passes, and comes as fast."""
    larder = make({"workers": 1, "cache": {"size": "24M"}}, start=False)
    larder.env.update(LD_PRELOAD=str(shim), SHIM_ROOT=str(larder.cache.resolve()))
    larder.start()
    for i in range(30):
        assert larder.get(origin.on(f"{path}/old/{i}", Reply(
            pattern(MIB, i), fields=FRESH))).body == pattern(MIB, i)
    larder.kill()
    larder.env["SHIM_SLOW"] = "1000"
    larder.start()
    for i in range(20):
        body = pattern(3 * MIB, i)
        url = origin.on(f"{path}/{i}", Reply(
            body, fields=FRESH, framing="chunked" if i % 2 else "length"))
        began = time.monotonic()
        assert larder.get(url).body == body
        assert time.monotonic() - began < (4 if SLOW else 1)
    larder.kill()
    larder.env.pop("LD_PRELOAD")
    larder.start()


# ---- rot -------------------------------------------------------------------------

def flip(file, at, bit=3):
    with open(file, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1 << bit]))


def test_any_bit(make, origin, path):
    """Of any file, while the daemon is down, and then it is asked for everything."""
    larder, urls = stocked(make, origin, path, cache={"memory": "0"})
    rng = random.Random(11)
    for turn in range(150 if SOAK else 12):
        assert larder.stop() == 0
        files = [p for p in larder.cache.rglob("*")
                 if p.is_file() and p.stat().st_size and p.name != "catalog.damaged"]
        file = files[turn] if turn < len(files) and turn < 3 else rng.choice(files)
        flip(file, rng.randrange(file.stat().st_size), rng.randrange(8))
        larder.start()
        wait_for(lambda: not (larder.cache / "catalog.rebuild").exists(), 10)
        assert hits(larder, urls) >= len(urls) - 2, file
        hits(larder, urls)
        assert hits(larder, urls) == len(urls), "what went is fetched anew"


def test_verify_finds_it(make, origin, path):
    """While it serves, and when it is down: exit 4, which URL, and it is mended."""
    larder, urls = stocked(make, origin, path, cache={"memory": "0"})
    for down in (False, True):
        larder.restart()
        pack = max((larder.cache / "packs").iterdir(), key=lambda p: p.stat().st_size)
        blob = next(p for p in (larder.cache / "blobs").rglob("*") if p.is_file())
        for i in range(1, 9):
            flip(pack, pack.stat().st_size * i // 9)
        flip(blob, 200_000)
        if down:
            assert larder.stop() == 0
        said = larder.ctl("verify", check=4).stdout
        damaged = urls.keys() & set(said.splitlines())
        assert len(damaged) >= 2, said
        larder.ctl("verify", check=0)
        if down:
            larder.start()
        assert hits(larder, urls) == len(urls) - len(damaged)
        assert hits(larder, urls) == len(urls)


@pytest.mark.parametrize("how", ["zeros", "short", "foreign", "gone"])
def test_damaged_catalog(make, origin, path, how):
    """It is set aside, said once, and made anew: all are hits again, with no origin."""
    larder, urls = stocked(make, origin, path)
    assert larder.stop() == 0
    catalog = larder.cache / "catalog.mdb"
    content = catalog.read_bytes()
    if how == "zeros":
        catalog.write_bytes(content[:8192] + bytes(len(content) - 8192))
    elif how == "short":
        catalog.write_bytes(content[:len(content) // 2])
    elif how == "foreign":
        catalog.write_text("Dear diary,\n" * 1000)
    else:
        catalog.unlink()
    began = time.monotonic()
    larder.start()
    assert time.monotonic() - began < (20 if SLOW else 5)
    wait_for(lambda: "made anew" in larder.messages(), 10)
    said = larder.messages()
    assert (said.count("is set aside as catalog.damaged") == (how != "gone")), said
    assert (larder.cache / "catalog.damaged").exists() == (how != "gone")
    assert hits(larder, urls) == len(urls)
    larder.ctl("verify", check=0)
    larder.ctl("gc", check=0)
    assert not (larder.cache / "catalog.damaged").exists()
    larder.restart()
    assert hits(larder, urls) == len(urls)


def test_catalog_goes_while_it_is_used(make, origin, path):
    """Cut short under a running daemon, which would be SIGBUS."""
    larder, urls = stocked(make, origin, path, cache={"memory": "0"})
    time.sleep(1)
    larder.restart()
    with open(larder.cache / "catalog.mdb", "r+b") as f:
        f.truncate(8192)
    hits(larder, urls)
    assert larder.process.poll() is None
    wait_for(lambda: "made anew" in larder.messages(), 20)
    hits(larder, urls)
    assert hits(larder, urls) == len(urls)
    larder.restart()
    assert hits(larder, urls) == len(urls)


# ---- bounds ----------------------------------------------------------------------

def test_smaller_budget_after_reload(make, origin, path):
    """It is reached in the background, while hits go on."""
    larder, urls = stocked(make, origin, path, count=8)
    with larder.client(timeout=60) as client:
        for i in range(150):
            at = f"{path}/big/{i}"
            client.get(origin.on(at, Reply(pattern(MIB, i), fields=FRESH)))
            del origin.handlers[at]
        for url in urls:
            for _ in range(3):
                client.get(url)
    slowest, stop, wrong = [0.0], threading.Event(), []

    def ask():
        with larder.client() as asking:
            while not stop.is_set():
                for url, body in urls.items():
                    began = time.monotonic()
                    if asking.get(url).body != body:
                        wrong.append(url)
                    slowest[0] = max(slowest[0], time.monotonic() - began)
    thread = threading.Thread(target=ask)
    thread.start()
    larder.options["cache"]["size"] = "48M"
    larder.write_conf()
    larder.ctl("reload", check=0)
    wait_for(lambda: larder.disk() <= 48 * MIB, 10, what="the store to shrink")
    stop.set()
    thread.join()
    assert not wrong
    assert slowest[0] < (4 if SLOW else 1)


def test_ends_while_it_verifies(make, origin, path):
    """A verify of hours does not hold up SIGTERM."""
    larder = make({"workers": 1})
    with larder.client(timeout=60) as client:
        for i in range(25):
            at = f"{path}/{i}"
            client.get(origin.on(at, Reply(pattern(8 * MIB, i), fields=FRESH)))
            del origin.handlers[at]
    time.sleep(1)
    verify = threading.Thread(target=larder.ctl, args=("verify",))
    verify.start()
    time.sleep(0.5)
    assert verify.is_alive(), "64 MiB a second, and no more"
    url = origin.on(f"{path}/hit", Reply("hit", fields=FRESH))
    larder.get(url)
    assert larder.get(url).hit, "it serves meanwhile"
    assert larder.stop(5) == 0
    verify.join()


def test_leaked_files(make, origin, path):
    """What nothing names is found some seconds after the start, and goes."""
    larder, urls = stocked(make, origin, path)
    assert larder.stop() == 0
    leaked = larder.cache / "packs" / f"{0xfffff:016x}"
    leaked.write_bytes(b"x" * 300_000)
    other = larder.cache / "packs" / "notes.txt"
    other.write_text("somebody's")
    larder.start()
    wait_for(lambda: not leaked.exists(), 10, what="it to be swept")
    assert other.exists()
    assert hits(larder, urls) == len(urls)
