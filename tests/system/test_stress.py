"""Everything at once: many clients that read, stop, ask for parts, ask anew,
upload and leave, an origin that changes, breaks and stalls, a cache that is too
small, and a configuration that is loaded again all the time. Every body says
what it must be; nothing may hang, and what ends well must be right."""
import collections
import os
import random
import signal
import threading
import time

from harness.client import Aborted
from harness.daemon import PATIENCE, SLOW
from harness.origin import Reply

SECONDS = float(os.environ.get("LARDER_STRESS_SECONDS", "40" if SLOW else "12"))
CLIENTS = 24
SIZES = [0, 1, 700, 5_000, 40_000, 200_000, 262_144, 300_000, 1_500_000]
KINDS = ["whole", "chunked", "close", "private", "vary", "stale"]


def content(name, version, size):
    """Its first line says what it is; the rest follows from that."""
    line = f"{name} {version} {size} ".encode()
    rng = random.Random(line)
    block = line + rng.randbytes(997)
    return (line + b"\n" + block * (size // len(block) + 1))[:max(size, len(line) + 1)]


class Changing:
    """Resources whose version changes now and then."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.versions = collections.Counter()
        self.lock = threading.Lock()

    def __call__(self, x):
        request = x.request
        if request.method == "POST":
            return Reply(x.read_body()[::-1])
        _, _, kind, size, number = request.target.split("?")[0].split("/")
        name = f"{kind}-{size}-{number}"
        with self.lock:
            dice = self.rng.random()
            if dice < 0.05:
                self.versions[name] += 1
            version = self.versions[name]
        if kind == "vary":
            name += "-" + request.get("Accept-Language", "none")
        etag = f'"{name}.{version}"'
        fields = [("ETag", etag), ("Cache-Control", {
            "private": "private", "stale": "max-age=0",
            "vary": "max-age=1"}.get(kind, "max-age=2"))]
        if kind == "vary":
            fields.append(("Vary", "Accept-Language"))
        if etag in request.get("If-None-Match", ""):
            return Reply(status=304, fields=fields)
        body = content(name, version, int(size))
        reply = Reply(body, fields=fields, framing={
            "chunked": "chunked", "close": "close"}.get(kind, "length"))
        if dice > 0.97:
            reply.cut, reply.reset = len(body) // 2, dice > 0.985
        elif dice > 0.94:
            reply.delay = 0.2
        elif dice > 0.90 and len(body) > 4096:
            reply.pace = (len(body) // 5 + 1, 0.02)
        if reply.cut is not None and reply.framing == "close":
            reply.reset = True  # else nobody could tell
        return reply


class Load:
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
            self.wrong.append(" ".join(map(str, words)))

    def target(self, rng):
        number = int(rng.paretovariate(1.0)) % 40
        return (f"/stress/{rng.choice(KINDS)}/{rng.choice(SIZES)}/{number}")

    def check(self, target, language, answer, ranged):
        """A body is of one version, and all of it."""
        _, _, kind, size, number = target.split("/")
        name = f"{kind}-{size}-{number}" + (f"-{language}" if kind == "vary" else "")
        tag = answer.get("ETag", "")
        if not tag.startswith(f'"{name}.'):
            return self.blame(target, language, "answered with", tag)
        body = content(name, int(tag.strip('"').rpartition(".")[2]), int(size))
        if ranged and answer.status == 206:
            first, last = answer.get("Content-Range").split()[1].split("/")[0].split("-")
            body = body[int(first):int(last) + 1]
        if answer.body != body:
            self.blame(target, answer.status, "wrong bytes:", len(answer.body),
                       "of", len(body), answer.cache_status)
        self.tell("right")

    def once(self, rng, client):
        target, language = self.target(rng), rng.choice("ab")
        url = self.origin.url(target)
        fields = [("Accept-Language", language)]
        dice = rng.random()
        if dice < 0.08:
            body = rng.randbytes(rng.choice([0, 10, 70_000, 400_000]))
            answer = client.request("POST", url, fields, body)
            if answer.body != body[::-1]:
                self.blame("POST", len(body), answer.status, len(answer.body))
            return
        if dice < 0.20:  # leaves in the middle
            client.send_head("GET", url, fields)
            if dice < 0.17:
                head = client.final_head()
                for _ in client.body(head, "GET"):
                    if rng.random() < 0.3:
                        break
            client.close()
            return self.tell("left")
        if dice < 0.26:
            answer = client.request("HEAD", url, fields)
            return self.tell("right")
        if dice < 0.36:
            fields.append(("Range", f"bytes={rng.randrange(400)}-"))
        elif dice < 0.44:
            fields.append(("Cache-Control", "no-cache"))
        elif dice < 0.50:
            fields.append(("If-None-Match", '"something else"'))
        answer = client.request("GET", url, fields)
        if answer.status in (200, 206):
            self.check(target, language, answer, dice < 0.36)
        elif answer.status not in (304, 416, 502, 504):
            self.blame(target, "answered", answer.status)
        else:
            self.tell(str(answer.status))

    def run(self, seed):
        rng, client = random.Random(seed), None
        while time.monotonic() < self.end:
            try:
                if client is None or client.sock.fileno() < 0 or rng.random() < 0.05:
                    client = self.larder.client(timeout=30)
                self.once(rng, client)
            except Aborted:
                self.tell("aborted")
                client = None
            except TimeoutError:
                self.blame("no answer within the time")
                client = None
            except (OSError, EOFError):
                self.tell("closed")
                client = None


def test_everything_at_once(make, origin):
    origin.default = Changing(7)
    larder = make({"workers": 3, "cache": {"size": "24M", "memory": "2M"},
                   "timeouts": {"response": "5s", "idle": "10s"}})
    load = Load(larder, origin)
    threads = [threading.Thread(target=load.run, args=(seed,), daemon=True)
               for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    reloads = 0
    while time.monotonic() < load.end:
        time.sleep(0.25)
        larder.options["log_level"] = ["info", "warn"][reloads % 2]
        larder.options["timeouts"]["idle"] = f"{9 + reloads % 2}s"
        larder.write_conf()
        larder.signal(signal.SIGHUP)
        reloads += 1
    for thread in threads:
        thread.join(60 * PATIENCE)
    assert not any(t.is_alive() for t in threads), "a client hangs"
    assert not load.wrong, "\n".join(load.wrong[:20])
    print(dict(load.count), reloads)
    assert load.count["right"] > 200, load.count
    # What was broken was broken visibly, and it was not most of it.
    assert load.count["aborted"] < load.count["right"], load.count
