"""The cache survives: a restart, a kill, a kill in the middle of traffic."""
import threading
import time

import pytest

from harness.client import Aborted, BadMessage
from harness.daemon import PATIENCE
from harness.origin import Reply, pattern

FRESH = {"Cache-Control": "max-age=600"}
SIZES = [0, 1, 100, 4096, 20_000, 262_144, 300_000, 2_000_000]


def fill(larder, origin, path, salt=0):
    """Objects of all sizes: {url: body}."""
    bodies = {}
    for size in SIZES:
        at = f"{path}/{salt}/{size}"
        bodies[origin.on(at, Reply(pattern(size, salt), fields={**FRESH, "X-Size": size}))] = \
            pattern(size, salt)
    for url, body in bodies.items():
        assert larder.get(url).body == body
    return bodies


def check(larder, bodies):
    """Every one is a hit, byte for byte, head and body."""
    for url, body in bodies.items():
        answer = larder.get(url)
        assert answer.body == body and answer.get("X-Size") == str(len(body))
        assert answer.hit, url


def test_sigterm(make, origin, path):
    larder = make()
    bodies = fill(larder, origin, path)
    larder.restart()
    check(larder, bodies)


def test_sigterm_at_once(make, origin, path):
    """What is stored a moment before the stop is committed by it."""
    larder = make()
    url = origin.on(path, Reply("x" * 1000, fields=FRESH))
    larder.get(url)
    larder.restart()
    assert larder.get(url).hit


def test_kill_9(make, origin, path):
    """Committed two seconds ago at the latest: it is there."""
    larder = make()
    bodies = fill(larder, origin, path)
    time.sleep(2.2)
    larder.kill()
    start = time.monotonic()
    larder.start()
    assert time.monotonic() - start < 2 * PATIENCE, "the next start is immediate"
    check(larder, bodies)


def test_age_goes_on_over_a_restart(make, origin, path):
    """Time that passed while it was down counts (RFC 9111 4.2.3)."""
    larder = make()
    url = origin.on(path, Reply("x", fields={**FRESH, "Age": "100"}))
    larder.get(url)
    assert larder.stop() == 0
    time.sleep(1.2)
    larder.start()
    answer = larder.get(url)
    assert answer.hit and 101 <= answer.age <= 110


def test_variants_survive(make, origin, path):
    larder = make()
    url = origin.on(path, lambda x: Reply(x.request.get("A"), fields={**FRESH, "Vary": "A"}))
    for a in ("one", "two"):
        larder.get(url, {"A": a})
    larder.restart()
    for a in ("one", "two"):
        answer = larder.get(url, {"A": a})
        assert answer.hit and answer.body == a.encode()
    assert not larder.get(url, {"A": "three"}).hit


def test_purged_stays_purged(make, origin, path):
    larder = make()
    bodies = fill(larder, origin, path)
    larder.ctl("purge", *bodies, check=0)
    time.sleep(2.2)
    larder.kill()
    larder.start()
    for url in bodies:
        assert not larder.get(url).hit


def test_half_fetched_is_not_there(make, origin, path):
    """Killed in the middle of a body: not a byte of it is served as whole."""
    larder = make()
    body, gate = pattern(2_000_000), threading.Event()

    def half(x):
        x.head(200, {"Content-Length": len(body), **FRESH})
        x.send(body[:1_000_000])
        gate.wait(20 * PATIENCE)
        x.close = True
    url = origin.on(path, half)
    with larder.client() as client:
        client.send_head("GET", url)
        client.final_head()
        client.exactly(900_000)
        time.sleep(2.2)
        larder.kill()
    gate.set()
    origin.on(path, Reply(body, fields=FRESH))
    larder.start()
    answer = larder.get(url)
    assert not answer.hit and answer.body == body


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_under_load(make, origin, path, seed):
    """In the middle of traffic, again and again: what was there before is a
    hit, what is served at all is right, byte for byte."""
    larder = make()
    bodies = fill(larder, origin, path)
    time.sleep(2.2)
    stop, wrong = threading.Event(), []

    def load(number):
        i = 0
        while not stop.is_set():
            i += 1
            at = f"{path}/load/{number}/{i}"
            size = (i * 7919 * (number + 1)) % 400_000
            url = origin.on(at, Reply(pattern(size, number), fields=FRESH))
            try:
                if larder.get(url).body != pattern(size, number):
                    wrong.append(url)
            except (OSError, Aborted, BadMessage):
                return
            loaded.append((url, size, number))
    loaded = []
    threads = [threading.Thread(target=load, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.5 + seed * 0.35)
    larder.kill()
    stop.set()
    for thread in threads:
        thread.join(20 * PATIENCE)
    assert loaded and not wrong
    start = time.monotonic()
    larder.start()
    assert time.monotonic() - start < 2 * PATIENCE
    check(larder, bodies)
    for url, size, number in loaded[-60:]:
        assert larder.get(url).body == pattern(size, number), url


def test_cold_hits_after_restart_are_checked_bytes(make, origin, path):
    """A flipped byte on the disk is a miss, never served (invariant 4)."""
    larder = make()
    bodies = fill(larder, origin, path)
    assert larder.stop() == 0
    marks = {}
    for file in larder.cache.rglob("*"):
        if not file.is_file() or "mdb" in file.name or "lock" in file.name:
            continue
        data = bytearray(file.read_bytes())
        for url, body in bodies.items():
            # The body as it is, where it does not compress
            at = data.find(body[len(body) // 2:len(body) // 2 + 64]) if len(body) > 4000 else -1
            if at >= 0:
                data[at] ^= 0xff
                marks[url] = file
        file.write_bytes(data)
    assert marks, "found no body on the disk to damage"
    larder.start()
    for url, body in bodies.items():
        for _ in range(2):
            try:
                answer = larder.get(url)
            except Aborted:  # noticed on the way: the abort is honest
                continue
            assert answer.body == body, f"a wrong byte was served for {url}"
            if url not in marks:
                assert answer.hit
    for url in marks:
        assert larder.get(url).body == bodies[url]
