"""What is measured. A scenario is a function of a Run; its docstring's first
line is its title. It returns a Result: a row a peer, and what was asked for."""
import os
import pathlib
import random
import re
import resource
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

import load
import peers
from machine import GiB, LOAD_CORE, MiB, PEER_CORE, CORES, Connection, Peak

CACHES = ("larder", "nginx", "trafficserver", "varnish", "squid")


class Result:
    def __init__(self, title, columns):
        self.title, self.columns, self.rows, self.verdicts = title, columns, {}, []

    def row(self, name, **values):
        self.rows[name] = values

    def medians(self, runs):
        for name, ones in runs.items():
            self.rows[name] = {c: statistics.median(one[c] for one in ones)
                               for c in self.columns}

    def ask(self, text, holds, figure):
        """What issue and README promise, and whether it is so."""
        self.verdicts.append((text, bool(holds), figure))

    def ask_ratio(self, text, column, peer, most, whose="larder"):
        if peer in self.rows and whose in self.rows:
            ratio = self.rows[whose][column] / max(self.rows[peer][column], 1e-9)
            self.ask(text, ratio <= most, f"{ratio:.2f} of {peer}'s")


class Unfit(Exception):
    """A peer did not keep what is measured, or not answer."""


class Run:
    """A folder, the origin, servers; all of it ends with it."""

    def __init__(self, options, wanted=CACHES):
        self.options = options
        self.names = [p for p in wanted if p in options.peers]
        self.servers = []

    def __enter__(self):
        self.holder = tempfile.TemporaryDirectory(prefix="larder-bench-", dir=self.options.dir)
        self.root = pathlib.Path(self.holder.name)
        self.root.chmod(0o755)
        self.origin = peers.Origin(self.folder("origin"))
        return self

    def __exit__(self, *_):
        for server in reversed(self.servers):
            server.stop()
        self.origin.stop()
        self.holder.cleanup()

    def folder(self, name):
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        return folder

    def start(self, name, folder=None, **options):
        server = peers.PEERS[name][0](
            self.folder(folder or name), self.origin.port, **options)
        self.servers.append(server)
        return server

    def start_all(self, **options):
        return [self.start(name, **options.get(name, {})) for name in self.names]

    def say(self, *words):
        self.options.say("   ", *words)

    def compare(self, server, known):
        """Byte for byte with the truth, twice: fetched and from the cache."""
        with Connection(server.port) as c:
            for _ in range(2):
                for path, body in known:
                    status, _, got = c.fetch(path)
                    if status != 200 or got != body:
                        raise SystemExit(f"{server.name}: wrong answer for {path}")

    def rounds(self, servers, one):
        """Interleaved: one(server, turn) for each, turn by turn; turn 0 warms up."""
        results = {s.name: [] for s in servers}
        for turn in range(self.options.rounds + 1):
            for server in [s for s in servers if s.name in results]:
                try:
                    figures = one(server, turn)
                except Unfit as e:
                    if server.name == "larder":
                        raise SystemExit(f"larder: {e}") from None
                    self.say(f"{server.name}: {e}: left out")
                    del results[server.name]
                    continue
                if turn:
                    results[server.name].append(figures)
                    self.say(f"{turn}/{self.options.rounds} {server.name:14}", " ".join(
                        f"{k} {v:.4g}" for k, v in figures.items()))
        return results

    def measure(self, server, lua, seconds, **kw):
        """A run of wrk; what the server does behind its clients' back counts."""
        asked, before = self.origin.count(), server.cpu()
        done = load.wrk(self.root, server.port, lua, seconds, **kw)
        time.sleep(0.5)
        cpu = server.cpu() - before
        if not done["requests"]:
            raise Unfit("no answers")
        # Of a peer some may be; they are said.
        if done["errors"] and server.name != "larder" and \
                done["errors"] * 100 < done["requests"]:
            self.say(f"{server.name}: {done['errors']} errors in {done['requests']} requests")
        elif done["errors"]:
            raise Unfit(f"{done['errors']} errors under load")
        return {**done, "cpu": cpu, "cpu/1000": load.per_thousand(cpu, done["requests"]),
                "req/s": done["requests"] / done["seconds"],
                "origin": self.origin.count() - asked}

    def hits(self, server, lua, seconds, **kw):
        one = self.measure(server, lua, seconds, **kw)
        # The page of the count is not a peer's; a thousandth may be, where a
        # peer looks at what it has now and then.
        if server.name != "limit" and one["origin"] * 1000 > one["requests"]:
            raise Unfit(f"{one['origin']} were no hits")
        return {k: one[k] for k in ("cpu/1000", "req/s", "p50", "p99")}


def seconds_of(run, turn):
    return run.options.seconds if turn else 2


SMALL = ["cpu/1000", "req/s", "p50", "p99"]


# -- small hits ------------------------------------------------------------------
def small_hits(run, title, **options):
    result = Result(title, SMALL)
    servers = run.start_all(**options)
    for server in servers:
        if server.name != "limit":
            run.compare(server, peers.known_objects())
    result.medians(run.rounds(servers, lambda s, turn: run.hits(
        s, load.script(load.RANDOM, seed=turn + 1), seconds_of(run, turn))))
    return result


def hits(options):
    """small hits from memory: 1 to 16 KiB, half text, 1,000 URLs, 64 connections"""
    with Run(options, (*CACHES, "limit")) as run:
        result = small_hits(run, "")
    result.ask_ratio("CPU at most 0.65 of nginx's", "cpu/1000", "nginx", 0.65)
    result.ask_ratio("CPU at most 1/0.7 of the limit's", "cpu/1000", "limit", 1 / 0.7)
    others = [r["p99"] for n, r in result.rows.items() if n not in ("larder", "limit")]
    if others and "larder" in result.rows:
        own = result.rows["larder"]["p99"]
        result.ask("p99 no worse than any peer's", own <= min(others) * 1.05,
                   f"{own:.2f} ms, best peer {min(others):.2f} ms")
    return result


def hits_disk(options):
    """small hits from disk: no tier in memory, the page cache warm"""
    none = {"memory": 0}
    with Run(options, ("larder", "nginx", "trafficserver")) as run:
        result = small_hits(run, "", larder=none, trafficserver=none)
    result.ask_ratio("CPU at most nginx's", "cpu/1000", "nginx", 1)
    return result


def hits_zstd(options):
    """small hits of text, clients take zstd"""
    result = Result("", SMALL)
    fields = {"Accept-Encoding": "zstd"}

    def lua(turn, with_fields):
        return load.script(load.RANDOM, objects=500, step=2, seed=turn + 1,
                           fields=fields if with_fields else {})
    with Run(options, ("larder",)) as run:
        for memory, name in ((128 * MiB, "memory"), (0, "disk")):
            server = run.start("larder", f"larder-{name}", memory=memory)
            run.compare(server, peers.known_objects())
            for kind in ("zstd", "identity"):
                ones = run.rounds([server], lambda s, turn: run.hits(
                    s, lua(turn, kind == "zstd"), seconds_of(run, turn)))
                result.medians({f"{kind}, {name}": ones["larder"]})
        if shutil.which("valgrind"):
            calls = decoder_calls(run, fields)
            result.ask("no decoding", not calls, ", ".join(calls) or "callgrind shows none")
    return result


def decoder_calls(run, fields):
    """Which functions of zstd's decoder callgrind sees while hits are served."""
    folder = run.folder("callgrind")
    server = run.start("larder", "callgrind", cores=CORES, wait=120, binary=(
        "valgrind", "--tool=callgrind", "--instr-atstart=no",
        f"--callgrind-out-file={folder}/out", peers.LARDERD))
    paths = [f"/o/{i}" for i in range(0, 40, 2)]
    for _ in range(2):
        for path in paths:
            server.get(path, fields)
    time.sleep(3)
    pid = str(server.process.pid)
    subprocess.run(["callgrind_control", "-i", "on", pid], check=True, stdout=subprocess.DEVNULL)
    for path in paths:
        server.get(path, fields)
    subprocess.run(["callgrind_control", "-i", "off", pid], check=True,
                   stdout=subprocess.DEVNULL)
    server.stop()
    seen = "".join(p.read_text(errors="replace") for p in folder.glob("out*"))
    if "exchange_run" not in seen:
        raise SystemExit("callgrind saw no exchange")
    return sorted(set(re.findall(r"ZSTD_decompress\w+|frame_decode\w*", seen)))


# -- large hits --------------------------------------------------------------------
def per_gb(run, server, path, clients=4, rounds=16):
    asked, before = run.origin.count(), server.cpu()
    done = load.fan(server.port, path, clients, rounds)
    cpu = server.cpu() - before
    if run.origin.count() != asked:
        raise Unfit(f"{path} was no hit")
    total = sum(size for _, _, size in done)
    return {"cpu/GB": cpu / (total / 1e9), "GB/s": total / 1e9 / (max(
        last for _, last, _ in done) / 1e3)}


def large_hits(options, path):
    result = Result("", ["cpu/GB", "GB/s"])
    with Run(options) as run:
        servers = run.start_all()
        want = run.origin.get(path)
        for server in servers:
            run.compare(server, [(path, want)])
        result.medians(run.rounds(servers, lambda s, _: per_gb(run, s, path)))
    result.ask_ratio("CPU at most nginx's", "cpu/GB", "nginx", 1)
    return result


def large(options):
    """64 MB hits, binary, four clients"""
    return large_hits(options, "/bin/1")


def large_text(options):
    """64 MB hits, text that is hot, clients take no coding"""
    return large_hits(options, "/text/1")


def stored_size(server, url):
    import json
    listed = json.loads(peers.larderctl(server, "--json", "ls", f"*{url}"))["objects"]
    return min((o["stored_size"] for o in listed), default=0)


def large_pressed(options):
    """64 MB hits, text that has been pressed, clients take no coding"""
    result = Result("", ["cpu/GB", "GB/s"])
    with Run(options, ("larder",)) as run:
        server = run.start("larder")
        want = run.origin.get("/text/1")
        run.compare(server, [("/text/1", want), *peers.known_objects()])
        end = time.monotonic() + 300
        while stored_size(server, "/text/1") > len(want) * 3 // 4:
            if time.monotonic() > end:
                raise SystemExit("larder: the text was not pressed within 300 s")
            time.sleep(2)
        ratio = stored_size(server, "/text/1") / len(want)
        quiet = load.wrk(run.root, server.port, load.script(load.RANDOM), 5, connections=8)
        # What it costs is measured alone: beside it the others' hits cost, too.
        one = per_gb(run, server, "/text/1", clients=2, rounds=4)
        busy = load.Wrk(run.root, server.port, load.script(load.RANDOM), 5, connections=8)
        with Peak(server.pss) as memory:
            per_gb(run, server, "/text/1", clients=2, rounds=4)
        beside = busy.result()
        result.row("larder", **one)
        file = run.root / "text"
        file.write_bytes(want)
        out = subprocess.run(["zstd", "-q", "-3", "-f", str(file), "-o", str(file) + ".zst"])
        before = os.times()
        subprocess.run(["zstd", "-dq", "-f", str(file) + ".zst", "-o", "/dev/null"], check=True)
        after = os.times()
        decode = (after.children_user - before.children_user) / (len(want) / 1e9)
        result.row("zstd -d", **{"cpu/GB": decode, "GB/s": 1 / max(decode, 1e-9)})
        assert out.returncode == 0
    result.ask("pressed", ratio < 0.75, f"{ratio:.2f} of its size on disk")
    result.ask("memory bounded", memory.growth() < 8 * MiB,
               f"PSS grew by {memory.growth() / MiB:.1f} MiB")
    result.ask("others' p99 unharmed", beside["p99"] < 3 * max(quiet["p99"], 1),
               f"{quiet['p99']:.2f} ms before, {beside['p99']:.2f} ms beside")
    return result


# -- misses and revalidations ------------------------------------------------------
def misses(options):
    """misses, unique objects of 8 KiB, stored, 64 connections"""
    result = Result("", [*SMALL, "MiB"])
    with Run(options) as run:
        servers = run.start_all()
        for server in servers:
            run.compare(server, [("/unique/x/1", peers.UNIQUE)])

        def one(server, turn):
            lua = load.script(load.IN_ORDER, f"/unique/{server.name}-{turn}/", 10**9)
            done = run.measure(server, lua, seconds_of(run, turn))
            if done["origin"] < done["requests"]:
                raise SystemExit(f"{server.name}: {done['requests']} requests, but only "
                                 f"{done['origin']} reached the origin")
            return {**{k: done[k] for k in SMALL}, "MiB": server.pss() / MiB}
        result.medians(run.rounds(servers, one))
        for server in servers:
            # Not only passed through: the last round's are hits now.
            before = run.origin.count()
            run.compare(server, [(f"/unique/{server.name}-{options.rounds}/{i}", peers.UNIQUE)
                                 for i in range(500, 600)])
            missed = run.origin.count() - before
            if missed > 50:
                run.say(f"{server.name}: {missed} of 100 were not stored")
    result.ask_ratio("CPU at most Traffic Server's", "cpu/1000", "trafficserver", 1)
    return result


STALE = 30_000
RESTART = 100_000


def revalidations(options):
    """revalidations: 8 KiB objects whose second of freshness is over, 304 each"""
    result = Result("", SMALL)
    with Run(options) as run:
        servers = [s for s in run.start_all() if is_filled(run, s, "/stale/", STALE)]

        def one(server, turn):
            lua = load.script(load.IN_ORDER, "/stale/", STALE, first=turn * 9973)
            time.sleep(1.5)
            before = run.origin.count()
            done = run.measure(server, lua, min(seconds_of(run, turn), 2))
            if run.origin.count() - before < done["requests"] * 0.9:
                run.say(f"{server.name}: only {done['origin']} of {done['requests']} were asked "
                        "about")
            return {k: done[k] for k in SMALL}
        result.medians(run.rounds(servers, one))
    for peer in CACHES[1:]:
        result.ask_ratio(f"not dearer than {peer}", "cpu/1000", peer, 1)
    return result


def fill(run, server, prefix, count, connections=32):
    """Asks for each of so many once."""
    lua = load.script(load.IN_ORDER, prefix, count)
    before = run.origin.count()
    end = time.monotonic() + 300
    while run.origin.count() - before < count:
        done = load.wrk(run.root, server.port, load.script(
            load.IN_ORDER, prefix, count, first=run.origin.count() - before), 2,
            connections=connections)
        if done["errors"] or time.monotonic() > end:
            raise Unfit(f"could not be filled: {done}")
    return lua


def is_filled(run, server, prefix, count):
    """A peer that cannot be is left out."""
    try:
        fill(run, server, prefix, count)
    except Unfit as e:
        if server.name == "larder":
            raise SystemExit(f"larder: {e}") from None
        run.say(f"{server.name}: {e}: left out")
        return False
    return True


def on_disk(folder):
    """Bytes that a cache's folder takes."""
    return sum(f.lstat().st_blocks * 512 for f in folder.rglob("*"))


def small_fill(options):
    """fill: 100,000 objects of 2 KiB that do not compress, each asked for once"""
    result = Result("", ["cpu/1000", "req/s", "disk/byte"])
    with Run(options, ("larder", "trafficserver")) as run:
        for server in run.start_all():
            before, disk, began = server.cpu(), on_disk(server.folder / "cache"), time.monotonic()
            if not is_filled(run, server, "/small/", RESTART):
                continue
            took = time.monotonic() - began
            time.sleep(3)
            result.row(server.name, **{
                "cpu/1000": load.per_thousand(server.cpu() - before, RESTART),
                "req/s": RESTART / took,
                "disk/byte": (on_disk(server.folder / "cache") - disk) / RESTART / 2048})
    result.ask_ratio("CPU at most Traffic Server's", "cpu/1000", "trafficserver", 1)
    if "larder" in result.rows:
        own = result.rows["larder"]["disk/byte"]
        result.ask("at most 1.15 bytes on disk for each stored", own <= 1.15, f"{own:.3f}")
    return result


# -- many at once ------------------------------------------------------------------
def crowd(options):
    """100 clients on one cold 50 MiB object, the origin sends 10 MB/s"""
    result = Result("", ["fetches", "first ms", "spread ms", "done s", "cpu s", "PSS MiB"])
    with Run(options) as run:
        servers = run.start_all()
        runs = {s.name: [] for s in servers}
        own = max(last for _, last, _ in load.fan(run.origin.port, "/slow/direct")) / 1e3
        for turn in range(min(options.rounds, 3)):
            for server in servers:
                before, cpu = run.origin.count(), server.cpu()
                with Peak(server.pss) as memory:
                    done = load.fan(server.port, f"/slow/{turn}", 100)
                firsts = sorted(first for first, _, _ in done)
                runs[server.name].append({
                    "fetches": run.origin.count() - before, "first ms": firsts[0],
                    "spread ms": statistics.median(firsts) - firsts[0],
                    "done s": max(last for _, last, _ in done) / 1e3,
                    "cpu s": server.cpu() - cpu, "PSS MiB": memory.growth() / MiB})
                run.say(f"{turn + 1} {server.name:14}", " ".join(
                    f"{k} {v:.4g}" for k, v in runs[server.name][-1].items()))
        result.medians(runs)
        result.row("origin, one client", fetches=1, **{
            "first ms": 0, "spread ms": 0, "done s": own, "cpu s": 0, "PSS MiB": 0})
    if "larder" in result.rows:
        r = result.rows["larder"]
        result.ask("one fetch", r["fetches"] == 1, f"{r['fetches']:.0f}")
        result.ask("median first byte within 20 ms of the leader's", r["spread ms"] < 20,
                   f"{r['spread ms']:.1f} ms")
        result.ask("done within 2% of the origin's own time", r["done s"] < own * 1.02,
                   f"{r['done s']:.2f} s of {own:.2f} s")
        result.ask("PSS grows under 5 MB", r["PSS MiB"] * MiB < 5e6, f"{r['PSS MiB']:.1f} MiB")
        for peer in CACHES[1:]:
            # Who lets the others wait until the first one has all does not stream.
            streams = peer in result.rows and result.rows[peer]["done s"] < own * 1.3 and \
                result.rows[peer]["fetches"] == 1 and \
                result.rows[peer]["spread ms"] < own * 1e3 / 2
            if streams:
                result.ask_ratio(f"less CPU than {peer}, which streams", "cpu s", peer, 1)
    return result


IDLE = 5000


def idle(options):
    """5,000 keep-alive connections, idle after a hit each"""
    result = Result("", ["KiB each"])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(IDLE, hard // 4)
    with Run(options) as run:
        for server in run.start_all():
            run.compare(server, [("/o/1", peers.content(1))])
            with Connection(server.port) as c:
                c.fetch("/o/1")
            before, connections = server.pss(), []
            for _ in range(count):
                connections.append(Connection(server.port, 60))
                status, _, body = connections[-1].fetch("/o/1")
                if status != 200 or body != peers.content(1):
                    raise SystemExit(f"{server.name}: {status} on connection "
                                     f"{len(connections)}")
            time.sleep(1)
            result.row(server.name, **{"KiB each": (server.pss() - before) / 1024 / count})
            run.say(server.name, result.rows[server.name])
            for c in connections:
                c.close()
    if "larder" in result.rows:
        own = result.rows["larder"]["KiB each"]
        result.ask("under 1 KiB of PSS each", own < 1, f"{own:.2f} KiB")
    return result


# -- a crash -----------------------------------------------------------------------

def restart(options):
    """kill -9 after 100,000 small objects, 5 s after the last one"""
    result = Result("", ["first hit ms", "hits", "PSS MiB"])
    with Run(options, ("larder",)) as run:
        if not run.names:
            return result
        server = run.start("larder")
        is_filled(run, server, "/small/", RESTART)
        time.sleep(5)
        server.kill()
        command, began = server.process.args, time.monotonic()
        again = peers.Process("larder", command, server.folder, server.port, wait=5)
        run.servers.append(again)
        status, head, body = Connection(again.port).fetch("/small/77")
        first = (time.monotonic() - began) * 1e3
        if status != 200 or body != peers.SMALL or "hit" not in head.getheader("Cache-Status"):
            raise SystemExit("larder: no hit after kill -9")
        hits = 0
        with Connection(again.port) as c:
            for i in range(RESTART):
                status, _, body = c.fetch(f"/small/{i}", {"Cache-Control": "only-if-cached"})
                hits += status == 200 and body == peers.SMALL
        result.row("larder", **{"first hit ms": first, "hits": hits, "PSS MiB":
                                again.pss() / MiB})
    result.ask("first hit within 50 ms of the exec", first < 50, f"{first:.0f} ms")
    result.ask("every object a hit", hits == RESTART, f"{hits} of {RESTART}")
    return result


# -- tunnels -----------------------------------------------------------------------
def tunnels(options):
    """CONNECT tunnels, bulk: four at once"""
    result = Result("", ["cpu/GB", "GB/s"])
    with Run(options, ("larder", "haproxy")) as run:
        servers = [run.start(name, **({"sites": False} if name == "larder" else {}))
                   for name in run.names]
        authority = f"127.0.0.1:{run.origin.port}"

        def one(server, _):
            before = server.cpu()
            done = load.fan(server.port, "/bin/1", 4, 8,
                            authority if server.name == "larder" else None)
            total = sum(size for _, _, size in done) / 1e9
            return {"cpu/GB": (server.cpu() - before) / total,
                    "GB/s": total / (max(last for _, last, _ in done) / 1e3)}
        result.medians(run.rounds(servers, one))
    result.ask_ratio("CPU at most HAProxy's", "cpu/GB", "haproxy", 1)
    return result


# -- more than one core --------------------------------------------------------------
def workers(options):
    """one worker, and two on two cores, with a load on each core: CPU a request"""
    result = Result("", ["cpu/1000", "req/s"])
    with Run(options, ("larder",)) as run:
        servers = []
        for n in (1, 2):
            cores = [PEER_CORE, LOAD_CORE][:n]
            server = run.start("larder", f"larder-{n}", workers=n, cores=cores)
            server.name = f"{n} worker{'s' if n > 1 else ''}"
            server.cores = cores
            run.compare(server, peers.known_objects())
            servers.append(server)

        # A worker that shares its core costs more than one that does not. Both
        # share theirs, so that what is left is what they cost each other.
        def one(server, turn):
            before, asked = server.cpu(), run.origin.count()
            loads = [load.Wrk(run.root, server.port, load.script(
                load.RANDOM, seed=turn + 1), seconds_of(run, turn), core=core)
                for core in server.cores]
            done = [one.result() for one in loads]
            total = sum(d["requests"] for d in done)
            if sum(d["errors"] for d in done) or run.origin.count() - asked > total / 1000:
                raise Unfit("not all were hits")
            return {"cpu/1000": load.per_thousand(server.cpu() - before, total),
                    "req/s": total / done[0]["seconds"]}
        result.medians(run.rounds(servers, one))
    result.ask_ratio("CPU a request rises by at most 10%", "cpu/1000", "1 worker", 1.1,
                     "2 workers")
    return result


# -- others do not wait ----------------------------------------------------------------
LARGE_STORE = 24


def is_busy(name, load, least):
    """Beside a load that has no core what is measured is alone."""
    rate = load["requests"] / load["seconds"]
    if rate < least:
        raise SystemExit(f"{name}: {rate:.2f} a second, where {least} should be: no load")


def cold_disk(options):
    """page cache dropped, 64 connections on large objects; one client on a hot one"""
    result = Result("", ["req/s", "p50", "p99"])
    with Run(options, ("larder",)) as run:
        server = run.start("larder")
        run.compare(server, [("/o/1", peers.content(1))])
        for i in range(LARGE_STORE):
            load.fan(server.port, f"/bin/{i}")
        time.sleep(2)
        alone = load.wrk(run.root, server.port, load.script(load.RANDOM, "/o/1", 1), 5,
                         connections=1)
        over = threading.Event()

        def drop():
            # Nobody measured is to wait for this: neither for a processor, nor for a
            # kernel that drops 64 MiB at once.
            os.sched_setaffinity(0, {LOAD_CORE})
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            while not over.is_set():
                for path in (server.folder / "cache").rglob("*"):
                    if path.is_file():
                        fd = os.open(path, os.O_RDONLY)
                        for at in range(0, os.fstat(fd).st_size, MiB):
                            os.posix_fadvise(fd, at, MiB, os.POSIX_FADV_DONTNEED)
                        os.close(fd)
                over.wait(0.5)
        threads = [threading.Thread(target=drop)]
        threads[0].start()
        cold = load.Wrk(run.root, server.port,
                        load.script(load.RANDOM, "/bin/", LARGE_STORE), 10, connections=64,
                        idle=True)
        time.sleep(1)
        hot = load.wrk(run.root, server.port, load.script(load.RANDOM, "/o/1", 1), 8,
                       connections=1)
        cold_done = cold.result()
        over.set()
        threads[0].join()
        for name, one in (("hot, alone", alone), ("hot, beside", hot), ("cold", cold_done)):
            result.row(name, **{"req/s": one["requests"] / one["seconds"], "p50": one["p50"],
                                "p99": one["p99"]})
        is_busy("large objects", cold_done, 5)
    result.ask("the hot client's p99 under 5 ms", hot["p99"] < 5, f"{hot['p99']:.2f} ms")
    return result


def mixed(options):
    """mixed day: zipf hits beside misses, large downloads, revalidations, eviction, presser"""
    result = Result("", ["req/s", "p50", "p99"])
    with Run(options, ("larder",)) as run:
        server = run.start("larder", size="600M", memory=32 * MiB)
        run.compare(server, peers.known_objects())
        lua = load.script(load.ZIPF)
        before = load.wrk(run.root, server.port, lua, 8, connections=16)
        noise = {name: load.Wrk(run.root, server.port, load.script(load.IN_ORDER, prefix, n), 12,
                                connections=connections, idle=True)
                 for name, prefix, n, connections in (
                     ("misses", "/unique/mixed/", 10**9, 4), ("revalidations", "/stale/", 2000, 2),
                     ("downloads", "/text/", 10**9, 1))}
        time.sleep(2)
        beside = load.wrk(run.root, server.port, lua, 8, connections=16)
        others = {name: one.result() for name, one in noise.items()}
        for name, least in (("misses", 1000), ("revalidations", 500), ("downloads", 0.3)):
            is_busy(name, others[name], least)
        for name, one in (("hits alone", before), ("hits beside", beside), *others.items()):
            result.row(name, **{"req/s": one["requests"] / one["seconds"], "p50": one["p50"],
                                "p99": one["p99"]})
    result.ask("p99 under 3 times the p99 without", beside["p99"] < 3 * before["p99"],
               f"{before['p99']:.2f} ms, {beside['p99']:.2f} ms")
    return result


ALL = {f.__name__.replace("_", "-"): f for f in (
    hits, hits_disk, hits_zstd, large, large_text, large_pressed, misses, small_fill, revalidations,
    crowd, idle, restart, tunnels, workers, cold_disk, mixed)}
