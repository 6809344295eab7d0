"""The budget is hard: what du says stays under cache.size at every moment."""
import threading
import time

import pytest

from harness.daemon import wait_for
from harness.origin import Reply, pattern

MIB = 1 << 20
FRESH = {"Cache-Control": "max-age=600"}


class Watch:
    """Looks at the disk all the time; keeps the maximum."""

    def __init__(self, larder):
        self.larder, self.maximum, self.done = larder, 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.done.is_set():
            self.maximum = max(self.maximum, self.larder.disk())
            time.sleep(0.02)

    def stop(self):
        self.done.set()
        self.thread.join()
        return self.maximum


@pytest.mark.parametrize("size,count", [(MIB, 250), (30_000, 6000)], ids=["large", "small"])
def test_storing_more_than_fits(make, origin, path, size, count):
    larder = make({"workers": 1, "cache": {"size": "96M"}})
    watch = Watch(larder)
    with larder.client(timeout=120) as client:
        for i in range(count):
            at, body = f"{path}/{i}", pattern(size, i)
            origin.on(at, Reply(body, fields=FRESH))
            assert client.get(origin.url(at)).body == body
            del origin.handlers[at]
    time.sleep(2)
    assert watch.stop() <= 96 * MIB
    last = origin.on(f"{path}/last", Reply("last", fields=FRESH))
    larder.get(last)
    assert larder.get(last).hit, "it goes on storing"
    # The budget is meant to be used: not everything may have been thrown away.
    assert larder.disk() > 24 * MIB


def test_object_larger_than_the_budget(make, origin, path):
    """Streams through uncached, whole; nobody notices; what was stored is not
    all thrown away for it."""
    larder = make({"workers": 1, "cache": {"size": "64M"}})
    small = origin.on(path + "/small", Reply("kept", fields=FRESH))
    larder.get(small)
    block = pattern(MIB)

    def handler(x):
        x.head(200, {"Content-Length": 100 * MIB, **FRESH})
        for _ in range(100):
            x.send(block)
    url = origin.on(path, handler)
    watch = Watch(larder)
    assert larder.get(url, timeout=60).body == block * 100
    assert watch.stop() <= 64 * MIB
    assert larder.get(small).body == b"kept"


def test_unknown_length_larger_than_the_budget(make, origin, path):
    larder = make({"workers": 1, "cache": {"size": "64M"}})
    block = pattern(MIB)

    def handler(x):
        x.head(200, {"Transfer-Encoding": "chunked", **FRESH})
        for _ in range(100):
            x.chunk(block)
        x.send("0\r\n\r\n")
    url = origin.on(path, handler)
    watch = Watch(larder)
    assert larder.get(url, timeout=60).body == block * 100
    assert watch.stop() <= 64 * MIB


def test_purge_gives_the_disk_back(make, origin, path):
    larder = make({"workers": 1})
    for i in range(40):
        at = f"{path}/{i}"
        larder.get(origin.on(at, Reply(pattern(MIB if i % 2 else 30_000, i), fields=FRESH)))
    time.sleep(1)
    full = larder.disk()
    assert full > 20 * MIB
    larder.ctl("purge", "--all", check=0)
    wait_for(lambda: larder.disk() < full - 19 * MIB, 5,
             what="the disk to be given back")


def test_smaller_budget_after_restart(make, origin, path):
    """The new figure holds soon after the start."""
    larder = make({"workers": 1, "cache": {"size": "256M"}})
    with larder.client(timeout=60) as client:
        for i in range(120):
            at = f"{path}/{i}"
            client.get(origin.on(at, Reply(pattern(MIB, i), fields=FRESH)))
            del origin.handlers[at]
    assert larder.stop() == 0
    larder.options["cache"]["size"] = "64M"
    larder.write_conf()
    larder.start()
    wait_for(lambda: larder.disk() <= 64 * MIB, 10, what="the store to shrink")


def test_asked_for_again_is_kept(make, origin, path):
    """A second chance for what is asked for, while a scan goes by."""
    larder = make({"workers": 1, "cache": {"size": "96M"}})
    hot = origin.on(path + "/hot", Reply(pattern(100_000), fields=FRESH))
    with larder.client(timeout=120) as client:
        for i in range(200):
            at = f"{path}/{i}"
            client.get(origin.on(at, Reply(pattern(MIB, i), fields=FRESH)))
            del origin.handlers[at]
            client.get(hot)
    assert origin.count(path + "/hot") <= 5
