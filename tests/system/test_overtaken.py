"""What is on its way when something newer comes is not stored over it."""
import threading
import time

import pytest

from harness.daemon import PATIENCE
from harness.origin import Reply

SLOW = {"pace": (60_000, 0.15)}  # a body that takes about a second


def fetch(larder, url, fields=()):
    thread = threading.Thread(target=larder.get, args=(url, fields))
    thread.start()
    time.sleep(0.4)
    return thread


@pytest.mark.parametrize("fields", [{}, {"If-None-Match": '"none"'}])
def test_a_change_overtakes_a_fetch(larder, origin, path, fields):
    """RFC 9111 4.4: also one that other requests could not have joined."""
    version = ["old"]

    def answer(x):
        if x.request.method == "POST":
            version[0] = "new"
            return Reply("done")
        return Reply((version[0] * 200_000)[:400_000],
                     fields={"Cache-Control": "max-age=60", "ETag": f'"{version[0]}"'},
                     **SLOW)
    url = origin.on(path, answer)
    thread = fetch(larder, url, fields)
    assert larder.request("POST", url, body=b"x").status == 200
    thread.join(20 * PATIENCE)
    assert larder.get(url).body.startswith(b"new")


@pytest.mark.parametrize("how", ["url", "host", "match", "all"])
def test_a_purge_overtakes_a_fetch(larder, origin, path, how):
    """What the origin sent before somebody purged is not stored after that; who reads it
    gets it all the same."""
    old = b"old" * 130_000
    replies = iter([
        Reply(old, fields={"Cache-Control": "max-age=60", "ETag": '"1"'}, **SLOW)])
    new = Reply(b"new", fields={"Cache-Control": "max-age=60", "ETag": '"2"'})
    url = origin.on(path, lambda x: next(replies, new))
    got = []
    thread = threading.Thread(target=lambda: got.append(larder.get(url).body))
    thread.start()
    time.sleep(0.4)
    words = {"url": [url], "host": ["--host", "127.0.0.1"], "match": ["--match", f"*{path}"],
             "all": ["--all"]}[how]
    larder.ctl("purge", *words, "--dry-run", check=0)
    larder.ctl("purge", "--match", "*/another", check=0)
    larder.ctl("purge", *words, check=0)
    # Nobody joins it any more.
    assert larder.get(url).body == b"new"
    thread.join(20 * PATIENCE)
    assert got == [old]
    answer = larder.get(url)
    assert answer.hit and answer.body == b"new"


def test_a_reload_is_not_overwritten_by_an_older_fetch(larder, origin, path):
    replies = iter([
        Reply(b"old" * 130_000, fields={"Cache-Control": "max-age=60", "ETag": '"1"'},
              **SLOW),
        Reply(b"new", fields={"Cache-Control": "max-age=60", "ETag": '"2"'})])
    url = origin.on(path, lambda x: next(replies))
    thread = fetch(larder, url)
    assert larder.get(url, {"Cache-Control": "no-cache"}).body == b"new"
    thread.join(20 * PATIENCE)
    answer = larder.get(url)
    assert answer.hit and answer.body == b"new"


def test_the_origin_is_not_blamed_for_a_slow_upload(make, origin, path):
    """The response timeout runs from the last byte of the request."""
    larder = make({"timeouts": {"response": "2s", "idle": "10s"}})
    url = origin.on(path, lambda x: Reply(x.read_body(), delay=1.3))
    with larder.client() as client:
        client.send_head("POST", url, {"Content-Length": 4})
        client.send(b"ab")
        time.sleep(3)
        client.send(b"cd")
        head = client.final_head()
        assert head.status == 200
        assert b"".join(client.body(head, "POST")) == b"abcd"


def test_a_client_that_reads_slowly_is_not_idle(make, origin, path):
    larder = make({"timeouts": {"idle": "4s"}})
    url = origin.on(path, Reply(bytes(6_000_000), fields={"Cache-Control": "max-age=60"}))
    larder.get(url)
    with larder.client(receive_buffer=16384) as client:
        client.send_head("GET", url)
        end, got = time.monotonic() + 12, 0
        while time.monotonic() < end:
            piece = client.sock.recv(6000)
            assert piece, "the end before the end"
            got += len(piece)
            time.sleep(0.1)
        assert got > 200_000
