"""All the odd things at once: an origin that hints, changes its mind about what may be
kept, lies about ranges and tags, breaks off and stalls; clients that ask for parts,
several of them, pipeline, close one half, upload to who answers early, and leave at
each step; purges and new configurations in between. Every body says what it must be."""
import collections
import gzip
import os
import random
import re
import signal
import socket
import threading
import time

from harness.client import Aborted
from harness.daemon import PATIENCE, wait_for
from harness.origin import Reply

SECONDS = float(os.environ.get("LARDER_STRESS_SECONDS") or
                ("60" if os.environ.get("LARDER_TEST_HUGE") else "6"))
SEED = int(os.environ.get("LARDER_RIOT_SEED", "1"))
CLIENTS = 16
# Around what is small, a window, a pack's largest, and beyond max_object.
SIZES = [1, 900, 3_000, 70_000, 150_000, 190_000, 250_000, 262_000, 400_000, 900_000,
         3_000_000]
HOT = [190_000, 400_000, 3_000_000]
CONTROL = ["max-age=1", "max-age=0", "no-store", "max-age=60", "private", "no-cache",
           "max-age=1, stale-while-revalidate=5", "max-age=0, stale-if-error=60",
           "max-age=60, no-transform", "public"]


def content(name, version, size):
    """Its first line says what it is; the rest follows from that."""
    line = f"{name} {version} {size} ".encode()
    block = line + random.Random(line).randbytes(997)
    if name.startswith("text"):
        block = line + bytes(97 + b % 26 for b in block[:200]) * 5
    return (line + b"\n" + block * (size // len(block) + 1))[:max(size, len(line) + 1)]


def name_of(target, language):
    _, kind, size, number = target.strip("/").split("/")
    return f"{kind}-{size}-{number}" + (f"-{language}" if kind == "vary" else "")


def coded(body):
    return gzip.compress(body, 1, mtime=0)


class Moody:
    """It reads bodies itself, or does not."""
    reads_body = True

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.versions = collections.Counter()
        self.lock = threading.Lock()

    def dice(self):
        with self.lock:
            return self.rng.random()

    def pick(self, among):
        with self.lock:
            return self.rng.choice(among)

    def __call__(self, x):
        request = x.request
        if request.method not in ("GET", "HEAD"):
            return self.upload(x)
        x.read_body()
        _, kind, size, _ = request.target.strip("/").split("/")
        name = name_of(request.target, request.get("Accept-Language"))
        with self.lock:
            if self.rng.random() < 0.03:
                self.versions[name] += 1
            version = self.versions[name]
        return self.upset(x, self.answer(request, kind, name, version, int(size)))

    def upload(self, x):
        if self.dice() < 0.3:
            x.close = True
            return Reply("no", 413, close=True)
        return Reply(x.read_body()[::-1])

    def answer(self, request, kind, name, version, size):
        body = content(name, version, size)
        etag = f'"{name}.{version}"'
        fields = [("ETag", etag), ("Cache-Control", self.pick(CONTROL)),
                  ("Content-Type", "text/plain" if kind == "text" else "x/y")]
        if kind == "vary":
            fields.append(("Vary", "Accept-Language"))
        if kind == "weak":
            fields[0] = ("ETag", "W/" + etag)
        if etag in request.get("If-None-Match", ""):
            if self.dice() < 0.05:
                fields[0] = ("ETag", '"of something else"')
            return Reply(status=304, fields=fields)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.get("Range", ""))
        if asked and asked[0] != "bytes=-" and self.dice() > 0.1 and \
                request.get("If-Range", etag) == etag:
            first, last = asked[1], asked[2]
            start = int(first) if first else max(0, len(body) - int(last))
            end = min(int(last), len(body) - 1) if first and last else len(body) - 1
            if start > end:
                return Reply(status=416, fields=[
                    ("Content-Range", f"bytes */{len(body)}")])
            if self.dice() < 0.04 and end - start > 10:
                end -= self.pick([1, 5])  # less than was asked for
            return Reply(body[start:end + 1], 206, fields + [
                ("Content-Range", f"bytes {start}-{end}/{len(body)}")],
                framing=self.pick(["length", "length", "chunked"]))
        if kind == "text" and "gzip" in request.get("Accept-Encoding", "") and \
                self.dice() < 0.5:
            fields += [("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
            fields[0] = ("ETag", f'W/{etag}')
            body = coded(body)
        return Reply(body, fields=fields,
                     framing=self.pick(["length", "length", "chunked", "close"]))

    def upset(self, x, reply):
        dice, body = self.dice(), reply.body
        if dice < 0.03:
            x.reset()
            return None
        if dice < 0.06:
            return Reply("broken", 503)
        if dice < 0.20:
            reply.interim = [(103, [("Link", "</a>; rel=preload")])] * self.pick([1, 3])
        elif dice < 0.25:
            reply.delay = 0.1
        elif dice < 0.33 and len(body) > 4096:
            reply.pace = (len(body) // self.pick([3, 9]) + 1, 0.02)
        elif dice < 0.41 and len(body) > 2:
            reply.cut = self.pick([1, len(body) // 2, len(body) * 9 // 10])
            reply.reset = reply.framing == "close" or dice < 0.37
        elif dice < 0.45:
            reply.close = True
        if reply.framing == "chunked":
            reply.trailers = [("X-Sum", "1")]
        return reply


class Rioter:
    def __init__(self, riot, seed):
        self.riot, self.rng = riot, random.Random(seed)
        self.client = None

    def target(self):
        if self.rng.random() < 0.5:  # all at once
            return f"/riot/{self.rng.choice(['plain', 'vary'])}/{self.rng.choice(HOT)}/0"
        kind = self.rng.choice(["plain", "weak", "text", "vary"])
        number = int(self.rng.paretovariate(1.0)) % 5
        return f"/riot/{kind}/{self.rng.choice(SIZES)}/{number}"

    # -- what is right ------------------------------------------------------
    def check(self, target, language, answer):
        size = target.split("/")[3]
        name, tag = name_of(target, language), answer.get("ETag", "")
        match = re.fullmatch(rf'(W/)?"{name}\.(\d+)"', tag)
        if not match:
            return self.riot.blame(target, "answered with", tag)
        body, got = content(name, int(match[2]), int(size)), answer.body
        is_coded = answer.get("Content-Encoding") == "gzip"
        if answer.status == 206:
            return self.check_part(target, answer, coded(body) if is_coded else body)
        if is_coded:
            got = gzip.decompress(got)
        if got != body:
            at = next((i for i, (a, b) in enumerate(zip(got, body)) if a != b), -1)
            self.riot.blame(target, "wrong from", at, len(got), "of", len(body), answer)
        self.riot.tell("right")

    def check_part(self, target, answer, body):
        kind = answer.get("Content-Type", "")
        parts = [(answer.get("Content-Range", ""), answer.body)]
        if kind.startswith("multipart/byteranges"):
            mark = b"--" + kind.partition("boundary=")[2].encode()
            parts = []
            rest = answer.body
            while not rest.startswith(mark + b"--"):
                assert rest.startswith(mark + b"\r\n"), rest[:60]
                head, _, rest = rest.partition(b"\r\n\r\n")
                spec = re.search(rb"Content-Range: (bytes (\d+)-(\d+)/\d+)", head)
                n = int(spec[3]) + 1 - int(spec[2])
                parts.append((spec[1].decode(), rest[:n]))
                rest = rest[n:]
                assert rest.startswith(b"\r\n--"), rest[:60]
                rest = rest[2:]
        for spec, got in parts:
            first, last, size = map(int, re.fullmatch(
                r"bytes (\d+)-(\d+)/(\d+)", spec).groups())
            if size != len(body) or got != body[first:last + 1]:
                self.riot.blame(target, "wrong part", spec, len(got), answer)
        self.riot.tell("right part" if len(parts) == 1 else "right parts")

    def judge(self, method, target, language, answer):
        if answer.status in (200, 206):
            if method == "GET":
                self.check(target, language, answer)
        elif answer.status not in (304, 416, 502, 503, 504):
            self.riot.blame(method, target, "answered", answer)
        else:
            self.riot.tell(str(answer.status))

    # -- what is done -------------------------------------------------------
    def fields(self, size):
        rng, dice, found = self.rng, self.rng.random(), []
        at = [rng.randrange(size + 10) for _ in range(6)]
        if dice < 0.22:
            found.append(("Range", f"bytes={min(at[:2])}-{max(at[:2])}"))
        elif dice < 0.27:
            found.append(("Range", f"bytes={at[0]}-"))
        elif dice < 0.30:
            found.append(("Range", f"bytes=-{at[0] + 1}"))
        elif dice < 0.40:
            specs = [f"{min(at[i:i + 2])}-{max(at[i:i + 2])}" for i in (0, 2, 4)]
            found.append(("Range", "bytes=" + ",".join(specs)))
        elif dice < 0.43:
            found.append(("Range", f"bytes={size - size // 9}-{size},0-{size // 9}"))
        dice = rng.random()
        if dice < 0.1:
            found.append(("Cache-Control", "no-cache"))
        elif dice < 0.15:
            found.append(("Cache-Control", "max-stale"))
        elif dice < 0.2:
            found.append(("If-None-Match", '"else"'))
        elif dice < 0.22:
            found.append(("If-Range", '"else"'))
        if rng.random() < 0.5:
            found.append(("Accept-Encoding", "gzip"))
        return found

    def ask(self, client, version="1.1"):
        target, language = self.target(), self.rng.choice("ab")
        method = "HEAD" if self.rng.random() < 0.1 else "GET"
        client.send_head(method, self.riot.origin.url(target), [
            ("Accept-Language", language), *self.fields(int(target.split("/")[3]))],
            version=version)
        return method, target, language

    def pipeline(self, client):
        asked = [self.ask(client) for _ in range(self.rng.randrange(2, 6))]
        if self.rng.random() < 0.3:
            client.sock.shutdown(socket.SHUT_WR)
        for method, target, language in asked:
            self.judge(method, target, language, client.response(method))

    def leave(self, client):
        method, _, _ = self.ask(client)
        if self.rng.random() < 0.6:
            head = client.final_head()
            for _ in client.body(head, method):
                if self.rng.random() < 0.2:
                    break
        if self.rng.random() < 0.5:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   b"\1\0\0\0\0\0\0\0")
        client.close()
        self.riot.tell("left")

    def upload(self, client):
        body = self.rng.randbytes(self.rng.choice([0, 10, 70_000, 300_000]))
        fields = [("Content-Length", str(len(body)))]
        chunked, waits = self.rng.random() < 0.4, self.rng.random() < 0.3
        if chunked:
            fields = [("Transfer-Encoding", "chunked")]
        if waits:
            fields.append(("Expect", "100-continue"))
        client.send_head("POST", self.riot.origin.url("/riot/up"), fields)
        if self.rng.random() < 0.15:
            client.send(body[:len(body) // 3])
            return client.close()
        if chunked:
            body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (
                body[:9], body[9:5000], body[5000:]) if p) + b"0\r\n\r\n"
        try:
            client.send(body)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = client.response("POST")
        if answer.status not in (200, 400, 413, 502, 504):
            self.riot.blame("POST answered", answer)
        self.riot.tell(f"POST {answer.status}")

    def once(self):
        if self.client is None or self.rng.random() < 0.1 or \
                self.client.sock.fileno() < 0:
            self.client = self.riot.larder.client(timeout=30)
        dice = self.rng.random()
        if dice < 0.12:
            self.leave(self.client)
        elif dice < 0.20:
            self.upload(self.client)
        elif dice < 0.35:
            self.pipeline(self.client)
        else:
            version = "1.0" if self.rng.random() < 0.08 else "1.1"
            method, target, language = self.ask(self.client, version)
            self.judge(method, target, language, self.client.response(method))
            if version == "1.0":
                self.client = None

    def run(self):
        while time.monotonic() < self.riot.end:
            try:
                self.once()
            except (Aborted, OSError, EOFError) as e:
                if isinstance(e, TimeoutError):
                    self.riot.blame("no answer within the time")
                self.riot.tell("aborted")
                self.client = None
            except Exception as e:  # what is malformed, too
                self.riot.blame("malformed:", repr(e))
                self.client = None


class Riot:
    def __init__(self, larder, origin):
        self.larder, self.origin = larder, origin
        self.end = time.monotonic() + SECONDS
        self.lock = threading.Lock()
        self.count = collections.Counter()
        self.wrong = []

    def tell(self, what):
        with self.lock:
            self.count[what] += 1

    def blame(self, *words):
        with self.lock:
            self.wrong.append(" ".join(map(str, words))[:2000])

    def disturb(self, rng):
        """Purges and loads the configuration anew."""
        while time.monotonic() < self.end:
            time.sleep(0.3)
            dice = rng.random()
            if dice < 0.3:
                self.larder.options["cache"]["max_object"] = rng.choice(["500K", "2M"])
                self.larder.write_conf()
                self.larder.signal(signal.SIGHUP)
            elif dice < 0.5:
                self.larder.ctl("purge", "--all")
            else:
                self.larder.ctl("purge", self.origin.url(
                    f"/riot/plain/{rng.choice(SIZES)}/1"))


def descriptors(larder):
    """What clients and origins hold open, and files that are gone: not those of the
    store, which keeps what it reads often open."""
    count = 0
    for name in os.listdir(f"/proc/{larder.pid}/fd"):
        try:
            target = os.readlink(f"/proc/{larder.pid}/fd/{name}")
        except FileNotFoundError:
            continue
        count += "/cache/" not in target or target.endswith(" (deleted)")
    return count


def test_riot(make, origin):
    origin.default = Moody(SEED)
    larder = make({"workers": 2, "cache": {"size": "24M", "memory": "2M",
                                           "max_object": "2M"},
                   "timeouts": {"response": "5s", "idle": "10s"}},
                  extra='rule { match = "*/plain/*"  fetch_whole = true }')
    before = descriptors(larder)
    riot = Riot(larder, origin)
    threads = [threading.Thread(target=Rioter(riot, SEED * 1000 + i).run, daemon=True)
               for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    riot.disturb(random.Random(SEED))
    for thread in threads:
        thread.join(60 * PATIENCE)
    print(dict(riot.count))
    assert not any(t.is_alive() for t in threads), "a client hangs"
    assert not riot.wrong, "\n".join(riot.wrong[:10])
    assert riot.count["right"] > 20 and riot.count["right part"] > 2, riot.count
    origin.drop()
    # What the resolver and the admin socket keep.
    wait_for(lambda: descriptors(larder) <= before + 4, 20, what="descriptors to come back")
