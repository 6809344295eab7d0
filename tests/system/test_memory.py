"""What a transfer holds in memory is bounded (ARCHITECTURE: 256 KiB each),
however large the object and however slow the client."""
import hashlib
import os
import time

import pytest

from harness.daemon import sanitized, wait_for
from harness.origin import Reply, pattern

pytestmark = pytest.mark.skipif(sanitized(), reason="a sanitizer's memory is its own")

MIB = 1 << 20
#: LARDER_TEST_HUGE=1: 4 GiB bodies.
SIZE = (4096 if os.environ.get("LARDER_TEST_HUGE") else 512) * MIB
BLOCK = pattern(MIB)


def big(control, framing):
    def handler(x):
        head = {"Cache-Control": control, "Connection": "close"}
        if framing == "length":
            head["Content-Length"] = SIZE
        else:
            head["Transfer-Encoding"] = "chunked"
        x.close = True
        x.head(200, head)
        for _ in range(SIZE // MIB):
            x.send(BLOCK) if framing == "length" else x.chunk(BLOCK)
        if framing == "chunked":
            x.send("0\r\n\r\n")
    return handler


@pytest.mark.parametrize("control,framing", [
    ("no-store", "length"), ("no-store", "chunked"), ("max-age=60", "length")])
def test_large_body_slow_client(make, origin, path, control, framing):
    larder = make({"workers": 1, "cache": {"size": "8G", "memory": "1M", "max_object": "8G"},
                   "timeouts": {"response": "60s", "idle": "60s"}})
    larder.get(origin.url(path + "/warm"))
    url = origin.on(path, big(control, framing))
    before, peak = larder.rss(), 0
    with larder.client(timeout=120, receive_buffer=65536) as client:
        client.send_head("GET", url)
        head = client.final_head()
        # A client that rests: whatever would be held is held by then.
        for _ in range(4):
            time.sleep(0.5)
            peak = max(peak, larder.rss())
        digest, got, next_look = hashlib.sha256(), 0, 0
        for piece in client.body(head, "GET"):
            digest.update(piece)
            got += len(piece)
            if got >= next_look:
                next_look += 16 * MIB
                peak = max(peak, larder.rss())
    assert got == SIZE
    want = hashlib.sha256()
    for _ in range(SIZE // MIB):
        want.update(BLOCK)
    assert digest.digest() == want.digest()
    assert peak - before < 6 * MIB, f"grew by {(peak - before) / MIB:.1f} MiB"


def test_hit_of_a_large_object(make, origin, path):
    """From the disk, too, to twenty clients that do not read."""
    larder = make({"workers": 1, "cache": {"size": "2G", "memory": "1M"}})
    size = 64 * MIB

    def handler(x):
        x.head(200, {"Content-Length": size, "Cache-Control": "max-age=60"})
        for _ in range(64):
            x.send(BLOCK)
    url = origin.on(path, handler)
    assert len(larder.get(url, timeout=60).body) == size
    wait_for(lambda: larder.get(url, timeout=60).hit, 10, 0.5, "the object to be a hit")
    before = larder.rss()
    clients = []
    for _ in range(20):
        client = larder.client(receive_buffer=65536)
        client.send_head("GET", url)
        assert client.final_head().status == 200
        clients.append(client)
    time.sleep(1)
    grown = larder.rss() - before
    for client in clients:
        client.close()
    assert grown < 20 * MIB // 2, f"grew by {grown / MIB:.1f} MiB for 20 clients"


def test_many_objects_do_not_grow_it(make, origin, path):
    """RSS is the memory tier, connections, what waits to be written and fixed
    tables; not a share of the 150 MB that are stored."""
    larder = make({"workers": 1, "cache": {"memory": "4M"}})

    def fetch(first, last):
        with larder.client(timeout=60) as client:
            for i in range(first, last):
                at = f"{path}/{i}"
                origin.on(at, Reply(pattern(30_000, i), fields={"Cache-Control": "max-age=60"}))
                assert client.get(origin.url(at)).status == 200
                del origin.handlers[at]
        return larder.rss()
    base = fetch(0, 1500)   # 45 MB: the tier is full, buffers are warm
    grown = fetch(1500, 6500) - base
    assert grown < 32 * MIB, f"grew by {grown / MIB:.1f} MiB over 150 MB"
