"""Content codings towards clients and from origins: whole bodies, byte for
byte, at any pace, within bounds (RFC 9110 8.4, 12.5.3)."""
import gzip
import hashlib
import random
import subprocess
import threading
import time
import zlib

import pytest

from harness.client import Aborted
from harness.daemon import PATIENCE, sanitized, wait_for
from harness.origin import Reply, Resource, pattern

MIB = 1 << 20
FRESH = {"Cache-Control": "max-age=600"}
TEXT = {**FRESH, "Content-Type": "text/plain"}


def prose(size, seed=0):
    """Text: words of a small language, the same for the same seed."""
    rng = random.Random(seed)
    words = [bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9)))
             for _ in range(3000)]
    block = b" ".join(rng.choices(words, k=100000))
    return (block * (size // len(block) + 1))[:size]


def zstd(data, *args):
    return subprocess.run(["zstd", "-q", "-c", *args], input=data, check=True,
                          capture_output=True).stdout


def decoded(answer):
    """What its Content-Encoding made of it is undone."""
    coding = answer.get("Content-Encoding")
    if coding == "gzip":
        return gzip.decompress(answer.body)
    if coding == "zstd":
        return zstd(answer.body, "-d", "--memory=8MB")
    assert coding is None
    return answer.body


CODERS = {"gzip": lambda data: gzip.compress(data, 6), "zstd": zstd, None: lambda data: data}


@pytest.mark.parametrize("memory", ["64M", "0"])
@pytest.mark.parametrize("stored", [None, "gzip", "zstd"])
def test_what_was_coded_is_kept(make, origin, path, stored, memory):
    """Coded for one client, it is there for the next; and never for another body."""
    larder = make({"workers": 1, "cache": {"memory": memory}})
    fields = {**TEXT, "Vary": "Accept-Encoding"}
    if stored:
        fields["Content-Encoding"] = stored
    sizes = (1, 1000, 1024, 20_000, 60_000, 200_000)
    for turn in range(2):
        bodies = {n: prose(n, seed=n + turn) for n in sizes}
        for n, body in bodies.items():
            url = origin.on(f"{path}/{n}", Reply(CODERS[stored](body), fields=fields))
            larder.ctl("purge", url, check=0)
        for again in range(4):
            for n, body in bodies.items():
                for accepted in ("zstd", "gzip", "zstd, gzip", None):
                    answer = larder.get(origin.url(f"{path}/{n}"), {
                        "Accept-Encoding": accepted} if accepted else {})
                    assert answer.status == 200 and decoded(answer) == body
                    recoded = answer.get("Content-Encoding") != stored
                    # One that is kept has a known length.
                    if again > 1 and recoded and memory != "0" and n <= 60_000:
                        assert answer.get("Content-Length") == str(len(answer.body)), (
                            turn, again, n, accepted, answer.get("Content-Encoding"))
                    elif again > 1 and recoded and memory == "0":
                        assert answer.get("Transfer-Encoding") == "chunked"


def test_what_was_coded_takes_no_more_than_its_part(make, origin, path):
    """Of 16M half a MiB: the latest stay."""
    larder = make({"workers": 1, "cache": {"memory": "16M"}})
    urls = [origin.on(f"{path}/{i}", Reply(prose(20_000, i), fields=TEXT)) for i in range(200)]
    zstd_please = {"Accept-Encoding": "zstd"}
    for url in urls:
        for _ in range(2):
            larder.get(url, zstd_please)
    for i, length in ((199, True), (198, True), (0, False), (1, False)):
        answer = larder.get(urls[i], zstd_please)
        assert decoded(answer) == prose(20_000, i)
        assert (answer.get("Content-Length") is not None) == length


@pytest.mark.parametrize("stored", [None, "gzip", "zstd"])
def test_every_client_of_every_coding(make, origin, path, stored):
    """Large ones, while they come and from the store; after a restart they come from
    the disk."""
    larder = make({"workers": 1, "cache": {"size": "1G", "memory": "1M"}})
    body = prose(12 * MIB) + pattern(3 * MIB)
    fields = {**TEXT, "ETag": '"1"', "Vary": "Accept-Encoding"}
    if stored:
        fields["Content-Encoding"] = stored
    url = origin.on(path, Resource(CODERS[stored](body), fields))
    for turn in range(3):
        for accept in ("gzip", "zstd", "identity", None, "br, gzip;q=0.5, zstd;q=0.2"):
            sent = {"Accept-Encoding": accept} if accept else {}
            answer = larder.get(url, sent, timeout=60)
            assert answer.status == 200
            assert decoded(answer) == body, (accept, answer)
            want = {"gzip": "gzip", "zstd": "zstd", "identity": None, None: None}
            if accept in want:
                assert answer.get("Content-Encoding") == want[accept]
            anew = answer.get("Content-Encoding") != stored
            assert answer.get("ETag") == ('W/"1"' if anew else '"1"')
        if turn == 1:
            larder.restart()
    assert origin.count(path) == 1


def test_curl_compressed(make, origin, path, tmp_path):
    larder = make({"workers": 1})
    body = prose(20 * MIB)
    url = origin.on(path, Resource(body, TEXT))
    for turn in range(2):
        for args in ([], ["--compressed"], ["-H", "Accept-Encoding: identity"]):
            out = tmp_path / "out"
            subprocess.run(["curl", "-sS", "-f", "-x", larder.url, *args, "-o", out, url],
                           check=True, timeout=120, env=larder.env)
            assert out.read_bytes() == body
    assert origin.count(path) == 1


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_what_came_goes_out_before_more_comes(make, origin, path, coding):
    """A body that grows slowly is flushed at each pause of its origin."""
    larder = make({"workers": 1})
    seen = [threading.Event() for _ in range(5)]
    pieces = [prose(3000, seed) for seed in range(5)]

    def handler(x):
        x.head(200, {**TEXT, "Transfer-Encoding": "chunked"})
        for piece, event in zip(pieces, seen):
            x.chunk(piece)
            assert event.wait(10 * PATIENCE), "the client did not get it"
        x.send("0\r\n\r\n")
    url = origin.on(path, handler)
    with larder.client(timeout=15 * PATIENCE) as client:
        client.send_head("GET", url, {"Accept-Encoding": coding})
        head = client.final_head()
        assert head.get("Content-Encoding") == coding
        got, count = b"", 0
        if coding == "gzip":
            decoder = zlib.decompressobj(31)
        else:
            decoder = subprocess.Popen(["zstd", "-dcq"], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, bufsize=0)
        for data in client.body(head, "GET"):
            if coding == "gzip":
                got += decoder.decompress(data)
                while count < 5 and got == b"".join(pieces[:count + 1]):
                    seen[count].set()
                    count += 1
            else:
                # The tool buffers: what counts is that something came.
                decoder.stdin.write(data)
                if count < 5:
                    seen[count].set()
                    count += 1
        if coding == "zstd":
            got = decoder.communicate(timeout=10 * PATIENCE)[0]
    assert got == b"".join(pieces)
    assert not origin.errors


def test_one_fetch_while_it_is_on_its_way(make, origin, path):
    """Clients of all codings read one growing response."""
    larder = make({"workers": 4})
    body = prose(4 * MIB)
    coded = gzip.compress(body)
    go = threading.Event()

    def handler(x):
        x.head(200, {**TEXT, "Content-Encoding": "gzip", "Content-Length": len(coded),
                     "Vary": "Accept-Encoding"})
        x.send(coded[:50000])
        go.wait(10 * PATIENCE)
        x.send(coded[50000:])
    url = origin.on(path, handler)
    results = []

    def one(accept):
        results.append(decoded(larder.get(url, {"Accept-Encoding": accept}, timeout=60)) == body)
    threads = [threading.Thread(target=one, args=(a,))
               for a in ["gzip", "zstd", "identity"] * 5]
    threads[0].start()
    wait_for(lambda: origin.count(path) == 1, 5)
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.3)
    go.set()
    for thread in threads:
        thread.join(60)
    assert results == [True] * 15
    assert origin.count(path) == 1


@pytest.mark.skipif(sanitized(), reason="a sanitizer's memory is its own")
def test_bomb_is_decoded_at_the_readers_pace(make, origin, path):
    """1 MiB that decodes to 1 GiB: bounded memory, and others have their turn."""
    larder = make({"workers": 1, "cache": {"size": "4G", "memory": "1M", "max_object": "2G"}})
    coder = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(MIB)
    bomb = b"".join(coder.compress(zeros) for _ in range(1024)) + coder.flush()
    url = origin.on(path, Reply(bomb, fields={**FRESH, "Content-Encoding": "gzip"}))
    small = origin.on(path + "/small", Reply("x", fields=FRESH))
    larder.get(url, {"Accept-Encoding": "gzip"})
    larder.get(small)
    before, peak, slowest, got = larder.rss(), 0, 0, 0
    with larder.client(timeout=60) as client, larder.client() as other:
        client.send_head("GET", url)
        head = client.final_head()
        assert head.get("Content-Encoding") is None
        look = 0
        for piece in client.body(head, "GET"):
            got += len(piece)
            if got >= look:
                look += 16 * MIB
                peak = max(peak, larder.rss())
                start = time.monotonic()
                assert other.get(small).hit
                slowest = max(slowest, time.monotonic() - start)
    assert got == 1024 * MIB
    assert peak - before < 3 * MIB, f"grew by {(peak - before) / MIB:.1f} MiB"
    assert slowest < 0.5 * PATIENCE


def test_bomb_ends_at_the_largest_object(make, origin, path):
    """Decoded it may be no larger than what may be stored."""
    larder = make({"workers": 1, "cache": {"max_object": "1M"}})
    url = origin.on(path, Reply(gzip.compress(bytes(8 * MIB)),
                                fields={**FRESH, "Content-Encoding": "gzip"}))
    assert len(larder.get(url, {"Accept-Encoding": "gzip"}).body) < 20000
    with larder.client() as client, pytest.raises(Aborted):
        client.get(url)


@pytest.mark.skipif(sanitized(), reason="a sanitizer's memory is its own")
@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_slow_clients_cost_little_each(make, origin, path, coding):
    """Twenty that do not read: a coder and its buffers each, not the body."""
    larder = make({"workers": 1, "cache": {"size": "1G", "memory": "1M"}})
    body = prose(40 * MIB)
    url = origin.on(path, Reply(body, fields=TEXT))
    assert larder.get(url, timeout=60).body == body
    before = larder.rss()
    clients = []
    for _ in range(20):
        client = larder.client(timeout=60, receive_buffer=16384)
        client.send_head("GET", url, {"Accept-Encoding": coding})
        assert client.final_head().get("Content-Encoding") == coding
        clients.append(client)
    time.sleep(1)
    grown = larder.rss() - before
    for client in clients:
        client.close()
    assert grown < 20 * 400 * 1024, f"{grown / 20 / 1024:.0f} KiB each"


@pytest.mark.skipif(sanitized(), reason="a sanitizer's memory is its own")
def test_coders_of_a_worker_are_bounded(make, origin, path):
    """128 MiB: then text goes out plain, and who refuses that is told to come again."""
    larder = make({"workers": 1, "cache": {"size": "1G", "memory": "1M"},
                   "limits": {"client_share": 100}, "timeouts": {"idle": "120s"}})
    body = prose(8 * MIB)
    url = origin.on(path, Reply(body, fields=TEXT))
    assert larder.get(url, timeout=60).body == body
    before, codings, clients = larder.rss(), [], []
    for _ in range(700):
        client = larder.client(timeout=60, receive_buffer=16384)
        client.send_head("GET", url, {"Accept-Encoding": "zstd"})
        head = client.final_head()
        assert head.status == 200 and head.get("Vary") == "Accept-Encoding"
        codings.append(head.get("Content-Encoding"))
        clients.append(client)
    grown = larder.rss() - before
    coded = codings.count("zstd")
    assert 400 < coded < 650 and codings == ["zstd"] * coded + [None] * (700 - coded)
    assert grown < 200 * MIB, f"grew by {grown / MIB:.0f} MiB"
    answer = larder.get(url, {"Accept-Encoding": "zstd, identity;q=0"})
    assert answer.status == 503 and "Retry-After" in answer
    for client in clients:
        client.close()
    wait_for(lambda: larder.get(url, {"Accept-Encoding": "zstd"}, timeout=60)
             .get("Content-Encoding") == "zstd", 20, 0.2, "the memory to come back")


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("damage", ["cut", "changed", "more"])
def test_damaged_coding_is_never_ended_as_if_whole(make, origin, path, coding, damage):
    larder = make({"workers": 1})
    body = prose(2 * MIB)
    coded = CODERS[coding](body)
    if damage == "cut":
        coded = coded[:-3]
    elif damage == "changed":
        coded = coded[:-2] + bytes([coded[-2] ^ 1]) + coded[-1:]
    else:
        coded += b"more"
    url = origin.on(path, Reply(coded, fields={**FRESH, "Content-Encoding": coding}))
    assert larder.get(url, {"Accept-Encoding": coding}).body == coded
    for _ in range(2):
        with larder.client() as client:
            client.send_head("GET", url)
            head, got = client.final_head(), b""
            with pytest.raises(Aborted):
                for piece in client.body(head, "GET"):
                    got += piece
            # RFC 8878 and 1952 put the checksum last: the bytes before were sent.
            assert body.startswith(got)
    # Who takes it as it is gets it still.
    assert larder.get(url, {"Accept-Encoding": coding}).body == coded


def test_shared_only_if_for_all(make, origin, path):
    """What is for one client alone is decoded if it must be, and never stored."""
    larder = make({"workers": 1})
    body = prose(50000)
    url = origin.on(path, Reply(gzip.compress(body), fields={
        "Cache-Control": "private", "Content-Type": "text/html", "Content-Encoding": "gzip"}))
    answer = larder.get(url, {"Accept-Encoding": "zstd"})
    assert answer.get("Content-Encoding") is None and answer.body == body
    plain = origin.on(path + "/plain", Reply(body, fields={
        "Cache-Control": "private", "Content-Type": "text/html"}))
    answer = larder.get(plain, {"Accept-Encoding": "gzip"})
    assert answer.get("Content-Encoding") is None and answer.body == body


def test_trailers_do_not_follow_another_coding(make, origin, path):
    larder = make({"workers": 1})
    body = prose(50000)
    url = origin.on(path, Reply(body, fields={**TEXT, "Trailer": "X-Sum"}, framing="chunked",
                                trailers=[("X-Sum", "1")]))
    with larder.client() as client:
        answer = client.get(url, {"Accept-Encoding": "gzip", "TE": "trailers",
                                  "Connection": "TE"})
        assert decoded(answer) == body and not answer.trailers
        assert "Trailer" not in answer
        assert client.get(url).body == body


def test_explain_shows_the_coding(make, origin, path):
    larder = make({"workers": 1})
    url = origin.on(path, Reply(gzip.compress(b"x"), fields={
        **FRESH, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}))
    larder.get(url, {"Accept-Encoding": "gzip"})
    wait_for(lambda: larder.get(url).hit, 5)
    said = larder.ctl("explain", url).stdout
    assert "Content-Encoding: gzip" in said
    assert "stored and may be used" in said


def test_part_of_a_coded_body_is_not_for_all(make, origin, path):
    """What there is of one that ended short is no use to who does not accept it."""
    larder = make({"workers": 1})
    body = pattern(2 * MIB)
    coded = gzip.compress(body)
    cut = [1_500_000]

    def handler(x):
        if "gzip" not in x.request.get("Accept-Encoding", ""):
            return Reply(body, fields={**FRESH, "ETag": '"p"'})
        resource = Resource(coded, {**FRESH, "Content-Encoding": "gzip"}, '"g"')
        reply = resource(x)
        reply.cut = cut.pop() if cut else None
        return reply
    url = origin.on(path, handler)
    with larder.client() as client, pytest.raises(Aborted):
        client.get(url, {"Accept-Encoding": "gzip"})
    wait_for(lambda: "part" in larder.ctl("ls").stdout, 5, 0.1, "the part to be kept")
    answer = larder.get(url)
    assert answer.get("Content-Encoding") is None and answer.body == body
    assert "Range" not in origin.seen(path)[-1]
