"""larderd under test: its configuration, its life, its log."""
import errno
import fcntl
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from .client import Client

ROOT = pathlib.Path(__file__).resolve().parents[3]
LARDERD = os.path.abspath(os.environ.get("LARDERD", ROOT / "build/larderd"))
LARDERCTL = os.path.abspath(os.environ.get("LARDERCTL", ROOT / "build/larderctl"))
SLOW = os.environ.get("LARDER_TEST_SLOW", "") not in ("", "0")
#: Every deadline in the tests is multiplied by this.
PATIENCE = 4 if SLOW else 1

#: What a sanitizer, an assertion or the C library says when all is lost.
REPORTS = re.compile(
    r"Sanitizer|runtime error:|check failed|[Aa]ssert(ion)?\b.*(failed|')|"
    r"stack smashing|double free|corrupted|Segmentation fault|panic")


def sanitized():
    """Is the binary instrumented? Then memory figures mean nothing."""
    try:
        with open(LARDERD, "rb") as f:
            data = f.read()
    except OSError:
        return False
    return b"__asan_init" in data or b"__tsan_init" in data


def wait_for(condition, within=5, every=0.02, what="condition"):
    """Polls until condition() is true; its value."""
    end = time.monotonic() + within * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {within * PATIENCE} s for {what}")
        time.sleep(every)


_ports, _ports_lock = set(), threading.Lock()
_ports_file = None


def _claim(port):
    """Suites that run side by side must not choose the same: between the choice and
    larderd's bind() nobody holds it, and SO_REUSEPORT lets two larderds have it. So each
    process locks a byte a port until it ends."""
    global _ports_file
    try:
        if _ports_file is None:
            _ports_file = open(
                f"{tempfile.gettempdir()}/larder-test-ports-{os.getuid()}", "ab")
        fcntl.lockf(_ports_file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except BlockingIOError:
        return False
    except OSError:
        pass  # no such file to be had: by luck, then
    return True


def free_port(host="127.0.0.1"):
    """Never one twice, and none that the kernel gives to what connects outwards."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with _ports_lock:
        while True:
            port = random.randrange(10240, 32768)
            with socket.socket(family) as s:
                try:
                    s.bind((host, port))
                except OSError as e:
                    if e.errno == errno.EADDRINUSE:
                        continue
                    raise
            if port not in _ports and _claim(port):
                _ports.add(port)
                return port


class Raw(str):
    """Configuration text that is written as it is."""


def render(options):
    """A dictionary as configuration text; dictionaries in it are sections."""
    lines = []
    for key, value in options.items():
        if isinstance(value, dict):
            inner = render(value).replace("\n", "\n    ").rstrip()
            lines.append(f"{key} {{\n    {inner}\n}}")
        else:
            lines.append(f"{key} = {literal(value)}")
    return "\n".join(lines) + "\n"


def literal(value):
    if isinstance(value, Raw):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "{" + ", ".join(literal(v) for v in value) + "}"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class AccessEntry:
    """One line in Squid's native format."""

    LINE = re.compile(
        r"(?P<time>\d{9,}\.\d{3}) +(?P<elapsed>\d+) (?P<client>\S+) "
        r"(?P<result>[A-Z_]+)/(?P<status>\d{3}) (?P<bytes>\d+) "
        r"(?P<method>\S+) (?P<url>\S+) (?P<user>\S+) "
        r"(?P<hierarchy>[A-Z_]+)/(?P<peer>\S+) (?P<type>\S+)\Z")

    def __init__(self, line):
        match = self.LINE.match(line)
        assert match, f"not Squid's native format: {line!r}"
        self.line = line
        self.__dict__.update(match.groupdict())
        self.status, self.bytes = int(self.status), int(self.bytes)

    def __repr__(self):
        return self.line


class Larder:
    """A daemon with a folder of its own, gone with close()."""

    def __init__(self, options=None, sites=None, extra="", start=True, env=None,
                 folder=None, user=None, binary=None):
        """options: overrides by key, one level into sections.
        sites: {host: origin URL}."""
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="larder-"))
        self.owns_folder = folder is None
        self.port = free_port()
        self.conf = self.folder / "larder.conf"
        self.cache = self.folder / "cache"
        self.log = self.folder / "access.log"
        self.socket = self.folder / "admin.sock"
        self.stderr = self.folder / "stderr"
        self.env = {**os.environ, **(env or {})}
        self.user = user
        self.binary = binary or LARDERD
        self.process = None
        self.options = {
            "listen": [f"127.0.0.1:{self.port}"],
            "workers": 2,
            "admin_socket": str(self.socket),
            "access_log": str(self.log),
            "log_level": "info",
            "cache": {"path": str(self.cache), "size": "512M", "memory": "16M",
                      "stale_if_error": "1d"},
            "access": {"clients": ["127.0.0.0/8", "::1/128"],
                       "destinations": ["127.0.0.0/8", "::1/128"],
                       "connect_ports": [443]},
            "timeouts": {"header": "3s", "idle": "10s", "connect": "2s",
                         "response": "3s", "drain": "10s"},
        }
        for key, value in (options or {}).items():
            if isinstance(value, dict):
                self.options[key] = {**self.options.get(key, {}), **value}
            else:
                self.options[key] = value
        self.sites = dict(sites or {})
        self.extra = extra
        self.write_conf()
        if start:
            try:
                self.start()
            except BaseException:
                self.close(check=False)
                raise

    # -- configuration ---------------------------------------------------
    def text(self):
        sites = "".join(
            f'site "{host}" {{\n{render(o if isinstance(o, dict) else {"origin": o})}}}\n'
            for host, o in self.sites.items())
        return render(self.options) + sites + self.extra + "\n"

    def write_conf(self):
        self.conf.write_text(self.text())

    # -- life ------------------------------------------------------------
    @property
    def pid(self):
        return self.process.pid

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def spawn(self):
        """Starts the process without waiting for it to be ready."""
        ids = {"user": self.user, "group": self.user, "extra_groups": []} \
            if self.user else {}
        with open(self.stderr, "ab") as err:
            self.process = subprocess.Popen(
                [str(self.binary), "-c", str(self.conf)], stdin=subprocess.DEVNULL,
                stdout=err, stderr=err, env=self.env, cwd=self.folder, **ids)
        return self.process

    def start(self):
        self.spawn()
        wait_for(self.accepts, 10, what="larderd to accept")
        return self

    def accepts(self):
        if self.process.poll() is not None:
            raise AssertionError(f"larderd ended with {self.process.returncode}:\n"
                                 + self.messages())
        try:
            socket.create_connection(self.address, 1).close()
            return True
        except OSError:
            return False

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, within=15):
        return self.process.wait(within * PATIENCE)

    def stop(self, within=15):
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait(within)

    def kill(self):
        """kill -9."""
        self.signal(signal.SIGKILL)
        self.wait()

    def restart(self):
        assert self.stop() == 0, self.messages()
        return self.start()

    def messages(self):
        return self.stderr.read_text("utf-8", "replace") if self.stderr.exists() else ""

    def close(self, check=True):
        """Stops it, and checks how it stopped and what it said meanwhile."""
        try:
            status = 0
            if self.process and self.process.returncode is None:
                if check:
                    try:
                        status = self.stop()
                    except subprocess.TimeoutExpired:
                        status = "no end after SIGTERM"
                if self.process.poll() is None:
                    self.kill()
            said = self.messages()
        finally:
            if self.owns_folder:
                shutil.rmtree(self.folder, ignore_errors=True)
        if check:
            assert status == 0, f"larderd's end: {status}\n{said}"
            assert not REPORTS.search(said), said

    # -- using it --------------------------------------------------------
    def client(self, timeout=20, **kw):
        return Client(self.address, timeout * PATIENCE, **kw)

    def get(self, target, fields=(), **kw):
        """One GET on a connection of its own."""
        return self.request("GET", target, fields, **kw)

    def request(self, method, target, fields=(), body=None, timeout=20, **kw):
        with self.client(timeout) as client:
            return client.request(method, target, fields, body, **kw)

    def ctl(self, *args, check=None, conf=True, timeout=30):
        """larderctl; check: the exit status that must come."""
        command = [LARDERCTL, *(("-c", str(self.conf)) if conf else ()), *map(str, args)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, env=self.env,
                              timeout=timeout * PATIENCE)
        assert not REPORTS.search(done.stderr), done.stderr
        if check is not None:
            assert done.returncode == check, \
                f"{command} ended with {done.returncode}, not {check}:\n" \
                f"{done.stdout}{done.stderr}"
        return done

    def access(self, url, count=1, within=3):
        """The log's entries for a URL, at least `count` of them."""
        def entries():
            if not self.log.exists():
                return []
            found = [line for line in self.log.read_text().splitlines()
                     if f" {url} " in line]
            return found if len(found) >= count else []
        try:
            found = wait_for(entries, within)
        except AssertionError:
            log = self.log.read_text() if self.log.exists() else "(no log)"
            raise AssertionError(f"{count} entries for {url} in:\n{log[-3000:]}") from None
        return [AccessEntry(line) for line in found]

    def disk(self):
        """Bytes the cache's folder takes on the disk, as du counts; a file that moves
        meanwhile is met twice, but counted once."""
        seen = {}
        for folder, _, files in os.walk(self.cache):
            for name in (".", *files):
                try:
                    st = os.lstat(os.path.join(folder, name))
                except FileNotFoundError:
                    continue
                seen[st.st_ino] = st.st_blocks * 512
        return sum(seen.values())

    def holds_deleted(self):
        """Has it a file of the cache's folder open that is unlinked?"""
        for fd in pathlib.Path(f"/proc/{self.pid}/fd").iterdir():
            try:
                target = os.readlink(fd)
            except FileNotFoundError:
                continue
            if target.startswith(str(self.cache)) and target.endswith(" (deleted)"):
                return True
        return False

    def rss(self):
        """Resident private memory in bytes; mapped files are not counted."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) * 1024


def larderd(*args, env=None, timeout=20, user=None):
    """Runs larderd with arguments until it ends by itself."""
    ids = {"user": user, "group": user, "extra_groups": []} if user else {}
    return subprocess.run([LARDERD, *map(str, args)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, env=env,
                          timeout=timeout * PATIENCE, **ids)
