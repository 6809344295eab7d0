"""larderctl on a terminal, and off one: top, colours, bars, questions, mistakes."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest

from harness.daemon import LARDERCTL, PATIENCE, wait_for
from harness.origin import Reply, pattern

FRESH = {"Cache-Control": "max-age=600"}


class Terminal:
    """larderctl on a pseudo-terminal."""

    def __init__(self, larder, *args, rows=24, columns=80, env=None):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            [LARDERCTL, "-c", str(larder.conf), *args], stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, env={**larder.env, "TERM": "xterm", **(env or {})},
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.output = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds=0.05):
        """What has come meanwhile."""
        new = b""
        while select.select([self.master], [], [], seconds)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                break
            if not data:
                break
            new += data
        self.output += new
        return new

    def until(self, pattern, within=10):
        """Reads until it has come."""
        wait_for(lambda: self.read() is not None and re.search(pattern, self.output), within,
                 what=f"{pattern}")

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self, within=10):
        """The exit status, with all output read."""
        end = time.monotonic() + within * PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            self.read()
        self.read()
        assert self.process.poll() is not None, f"no end: {self.output[-2000:]!r}"
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal():
    made = []

    def make_one(*args, **kw):
        made.append(Terminal(*args, **kw))
        return made[-1]
    yield make_one
    for one in made:
        one.close()


@pytest.fixture
def busy(make, origin, path):
    """A daemon whose clients do not rest."""
    larder = make()
    url = origin.on(path, Reply("x" * 500, fields=FRESH))
    stop = threading.Event()

    def run():
        while not stop.is_set():
            larder.get(url)
            time.sleep(0.02)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    larder.url_asked = url
    yield larder
    stop.set()
    thread.join()


def frames(output):
    """What was drawn, a frame each, without what moves the cursor."""
    text = output.decode("utf-8", "replace")
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", f) for f in text.split("\x1b[H")[1:]]


# -- top -------------------------------------------------------------------
def test_top_is_live_and_survives_a_resize(busy, terminal):
    top = terminal(busy, "top", "--interval", "200ms")
    top.until(rb"requests/s")
    top.until(re.escape(busy.url_asked[:40]).encode())
    count = len(frames(top.output))
    wait_for(lambda: top.read() is not None and len(frames(top.output)) > count + 1,
             what="it to be drawn anew")
    top.output = b""
    top.resize(10, 30)
    wait_for(lambda: top.read(0.2) is not None and len(frames(top.output)) >= 3, what="a small one")
    lines = frames(top.output)[-2].split("\r\n")
    assert len(lines) <= 10, lines
    assert max(len(line.rstrip()) for line in lines) <= 30, lines
    top.resize(50, 200)
    top.output = b""
    top.until(re.escape(busy.url_asked).encode())
    for height, width in ((1, 1), (2, 5), (3, 500)):
        top.resize(height, width)
        top.read(0.2)
    assert top.process.poll() is None
    top.type("q")
    assert top.end() == 0


@pytest.mark.parametrize("how", ["q", "interrupt", "terminate"])
def test_top_puts_the_terminal_back(busy, terminal, how):
    top = terminal(busy, "top", "--interval", "200ms")
    top.until(rb"requests/s")
    assert b"\x1b[?1049h" in top.output
    assert termios.tcgetattr(top.slave) != top.before
    if how == "q":
        top.type("q")
    elif how == "interrupt":
        top.type("\x03")
    else:
        top.process.send_signal(signal.SIGTERM)
    assert top.end() == 0
    assert top.output.rstrip().endswith(b"\x1b[?1049l") and b"\x1b[?25h" in top.output
    assert termios.tcgetattr(top.slave) == top.before


def test_top_when_the_daemon_ends(busy, terminal):
    top = terminal(busy, "top", "--interval", "200ms")
    top.until(rb"requests/s")
    busy.get = lambda *_: None
    assert busy.stop() == 0
    assert top.end() == 3
    assert b"has ended" in top.output.split(b"\x1b[?1049l")[-1]


def test_top_off_a_terminal(busy):
    """One look, and the end."""
    for args in (["top", "--interval", "300ms"], ["top", "--once", "--interval", "300ms"]):
        text = busy.ctl(*args, check=0).stdout
        assert "\x1b" not in text and busy.url_asked in text and "127.0.0.1" in text
        for title in ("HOST", "URL", "CLIENT"):
            assert title in text


def test_top_counts(make, origin, path):
    larder = make()
    urls = [origin.on(f"{path}/{i}", Reply("x" * (100 << i), fields=FRESH)) for i in range(3)]
    larder.ctl("top", "--interval", "100ms", check=0)  # from now on it is counted
    for i, url in enumerate(urls):
        for _ in range(6 - 2 * i):
            larder.get(url)
    tree = json.loads(larder.ctl("--json", "top", "--interval", "100ms", check=0).stdout)
    assert tree["requests"] == 12 and tree["hits"] == 9
    assert [(u["name"], u["requests"], u["hits"]) for u in tree["urls"]] == \
        [(urls[0], 6, 5), (urls[1], 4, 3), (urls[2], 2, 1)]
    assert tree["hosts"][0]["requests"] == 12
    assert tree["clients"] == [{"name": "127.0.0.1", "requests": 12, "hits": 9,
                                "bytes": tree["bytes"]}]
    assert sum(u["bytes"] for u in tree["urls"]) == tree["bytes"]
    text = larder.ctl("top", "--by", "bytes", "--interval", "100ms", check=0).stdout
    order = [text.index(u) for u in urls]
    by_bytes = sorted(tree["urls"], key=lambda u: -u["bytes"])
    assert sorted(order) == [text.index(u["name"]) for u in by_bytes]


@pytest.mark.parametrize("args", [["--interval", "1ms"], ["--interval", "x"], ["--by", "size"], ["x"]])
def test_top_usage(larder, args):
    assert larder.ctl("top", *args).returncode == 2


def test_top_needs_the_daemon(make):
    larder = make()
    assert larder.stop() == 0
    assert larder.ctl("top").returncode == 3


# -- colours, bars, questions ----------------------------------------------
def test_colours_on_a_terminal_only(make, origin, path, terminal):
    larder = make()
    url = origin.on(path, Reply("x", fields=FRESH))
    larder.get(url)
    for args in (["ls"], ["explain", url], ["prefetch", url]):
        assert "\x1b" not in larder.ctl(*args, check=0).stdout
        coloured = terminal(larder, *args)
        assert coloured.end() == 0 and b"\x1b[3" in coloured.output or b"\x1b[1m" in coloured.output
        for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            plain = terminal(larder, *args, env=env)
            assert plain.end() == 0
            assert not re.search(rb"\x1b\[[0-9;]*m", plain.output), (args, env)
        exact = terminal(larder, "--json", *args)
        assert exact.end() == 0
        assert not re.search(rb"\x1b\[[0-9;]*m", exact.output)


def test_bar_of_prefetch(make, origin, path, terminal):
    larder = make()
    urls = [origin.on(f"{path}/{i}", Reply("x", fields=FRESH)) for i in range(4)]
    shown = terminal(larder, "prefetch", *urls)
    assert shown.end() == 0 and re.search(rb"prefetch \[#+\.*\]", shown.output)
    quiet = terminal(larder, "-q", "prefetch", *urls)
    assert quiet.end() == 0 and quiet.output == b""


@pytest.mark.parametrize("job,done", [("verify", rb"1 object read.*no damage"),
                                      ("gc", rb"0 objects, 0 B given back")])
def test_bar_of_a_job(make, origin, path, terminal, job, done):
    """While the answer is not there; what is quick is through before."""
    larder = make()
    larder.get(origin.on(path, Reply(pattern(300_000), fields=FRESH)))
    larder.signal(signal.SIGSTOP)
    try:
        shown = terminal(larder, job)
        shown.read(1)
    finally:
        larder.signal(signal.SIGCONT)
    assert shown.end() == 0
    assert re.search(job.encode() + rb" \[[#.]*\] +\d+ %", shown.output), shown.output
    assert re.search(rb"\x1b\[K" + done, shown.output), shown.output
    assert larder.stop() == 0
    shown = terminal(larder, job)
    assert shown.end() == 0 and re.search(done, shown.output), shown.output
    assert "\x1b" not in larder.ctl(job, check=0).stderr


def test_purge_all_asks_on_a_terminal(make, origin, path, terminal):
    larder = make()
    larder.get(origin.on(path, Reply("x", fields=FRESH)))
    asked = terminal(larder, "purge", "--all")
    asked.until(rb"\[y/N\]")
    asked.type("n\n")
    assert asked.end() == 1
    asked = terminal(larder, "purge", "--all")
    asked.until(rb"\[y/N\]")
    asked.type("y\n")
    assert asked.end() == 0 and b"1 object" in asked.output
    # Off one, nothing is asked.
    assert "0 objects" in larder.ctl("purge", "--all", check=0).stdout


# -- mistakes --------------------------------------------------------------
@pytest.mark.parametrize("args,said", [
    (["pruge"], "did you mean 'purge'"),
    (["dockter"], "did you mean 'doctor'"),
    (["expalin", "http://x/"], "did you mean 'explain'"),
    (["zzzzzz"], "--help lists them"),
    (["purge", "--mtach", "x"], "did you mean '--match'"),
    (["purge", "--dryrun", "--all"], "did you mean '--dry-run'"),
    (["--jsno", "ls"], "did you mean '--json'"),
    (["ls", "--limits=5"], "did you mean '--limit'"),
    (["ls", "--zzzzzz"], "unknown option '--zzzzzz'"),
    (["ls", "--match", "x"], "--match is no option here"),
    (["ls", "-x"], "unknown option '-x'"),
    (["ls", "--limit"], "--limit needs a value"),
    (["-c"], "-c needs a value"),
    (["ls", "--json=yes"], "--json takes no value"),
    (["explain", "-H"], "-H needs a value"),
])
def test_mistakes_are_understood(larder, args, said):
    done = larder.ctl(*args, conf=False)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert not done.stdout


@pytest.mark.parametrize("command", ["stats", "top", "ls", "explain", "purge", "gc", "verify",
                                     "prefetch", "doctor", "reload", "ping", "version"])
def test_help_has_examples(larder, command):
    text = larder.ctl(command, "--help", check=0, conf=False).stdout
    assert re.search(rf"^  larderctl .*{command}", text, re.M), text
    assert max(map(len, text.splitlines())) <= 100
