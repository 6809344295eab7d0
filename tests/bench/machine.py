"""Processes on cores of their own, and what they cost: read from /proc, for all
threads and children."""
import ctypes
import http.client
import os
import re
import signal
import socket
import subprocess
import threading
import time

TICK = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
PEER_CORE, LOAD_CORE = CORES[0], CORES[-1]
MiB = 1 << 20
GiB = 1 << 30


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Connection(http.client.HTTPConnection):
    """One keep-alive connection that a `with` closes."""

    def __init__(self, port, timeout=30):
        super().__init__("127.0.0.1", port, timeout=timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def fetch(self, path, fields=None):
        """(status, head, body)"""
        self.request("GET", path, headers=fields or {})
        answer = self.getresponse()
        return answer.status, answer, answer.read()


def one_line(path, pattern):
    with open(path) as f:
        return int(re.search(pattern, f.read())[1])


class Process:
    """A server, pinned, ended by its pid with all its children."""

    def __init__(self, name, command, folder, port, cores=(PEER_CORE,), env=None, wait=30):
        self.name, self.port, self.folder, self.cores = name, port, folder, set(cores)
        self.after = lambda: None  # cleans up behind it
        libc = ctypes.CDLL(None)

        def prepare():
            os.sched_setaffinity(0, self.cores)
            libc.prctl(1, signal.SIGTERM)  # dies with the benchmark
        self.log = open(folder / "output", "ab")
        self.process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, preexec_fn=prepare, cwd=folder, env={**os.environ, **(env or {})})
        if wait:
            self.wait_for_port(wait)

    def wait_for_port(self, seconds):
        end = time.monotonic() + seconds
        while True:
            if self.process.poll() is not None:
                said = (self.folder / "output").read_text(errors="replace")
                raise SystemExit(f"{self.name} ended: {said[-2000:]}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise SystemExit(f"{self.name} does not listen") from None
                time.sleep(0.002 if seconds < 30 else 0.05)

    def pin(self):
        """Some choose their cores themselves, after their start."""
        for pid in self.pids():
            for thread in os.listdir(f"/proc/{pid}/task"):
                try:
                    os.sched_setaffinity(int(thread), self.cores)
                except OSError:
                    pass

    def pids(self):
        """The process and all that it started."""
        parents = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    with open(f"/proc/{entry}/stat") as f:
                        parents[int(entry)] = int(f.read().rsplit(")", 1)[1].split()[1])
                except OSError:
                    pass
        found = {self.process.pid}
        while more := {p for p, parent in parents.items() if parent in found} - found:
            found |= more
        return found

    def cpu(self):
        """Seconds."""
        total = 0
        for pid in self.pids():
            try:
                with open(f"/proc/{pid}/stat") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
            except OSError:
                pass
        return total / TICK

    def pss(self):
        """Bytes."""
        total = 0
        for pid in self.pids():
            try:
                total += one_line(f"/proc/{pid}/smaps_rollup", r"\nPss:\s+(\d+)") * 1024
            except (OSError, TypeError):
                pass
        return total

    def get(self, path, fields=None):
        with Connection(self.port) as c:
            return c.fetch(path, fields)[2]

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        self.after()


class Peak:
    """The largest value that probe() has while it runs, above that before."""

    def __init__(self, probe, every=0.2):
        self.probe, self.every = probe, every
        self.base = self.most = probe()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.wait(self.every):
            self.most = max(self.most, self.probe())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.most = max(self.most, self.probe())

    def growth(self):
        return self.most - self.base
