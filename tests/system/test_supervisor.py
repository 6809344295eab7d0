"""A supervisor that speaks systemd's protocol: readiness, the watchdog, and
listening sockets that outlive the daemon. Python plays the supervisor."""
import ctypes
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness.client import Client
from harness.daemon import LARDERD, PATIENCE, Larder, free_port, wait_for
from harness.origin import Reply


class Supervisor:
    """The receiving end of NOTIFY_SOCKET."""

    def __init__(self, folder, abstract=False):
        self.name = f"@larder-test-{os.getpid()}-{id(self)}" if abstract else f"{folder}/notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.name.replace("@", "\0", 1))
        self.said = []

    @property
    def env(self):
        return {"NOTIFY_SOCKET": self.name}

    def hear(self, within=0.05):
        """Takes what has come; all assignments since the start."""
        self.socket.settimeout(within)
        try:
            while True:
                self.said += self.socket.recv(4096).decode().splitlines()
                self.socket.settimeout(0.01)
        except (TimeoutError, BlockingIOError):
            return self.said

    def wait(self, word, count=1, within=10):
        wait_for(lambda: self.hear().count(word) >= count, within, what=f"{count} {word}")

    def close(self):
        self.socket.close()


@pytest.fixture
def supervisor(tmp_path):
    made = Supervisor(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("abstract", [False, True])
def test_says_when_it_is_ready_and_when_it_stops(make, tmp_path, abstract):
    supervisor = Supervisor(tmp_path, abstract)
    larder = make(env=supervisor.env)
    supervisor.wait("READY=1")
    status = [line for line in supervisor.said if line.startswith("STATUS=")]
    assert f"127.0.0.1:{larder.port}" in status[-1]
    assert "STOPPING=1" not in supervisor.said
    assert larder.stop() == 0
    supervisor.wait("STOPPING=1")
    # The 10 s of timeouts.drain in these tests, and some to close.
    extend = [line for line in supervisor.said if line.startswith("EXTEND_TIMEOUT_USEC=")]
    assert int(extend[0].split("=")[1]) >= 10_000_000
    supervisor.close()


def test_ready_means_that_it_serves(make, origin, path, supervisor):
    larder = make(env=supervisor.env, start=False)
    url = origin.on(path, Reply("x"))
    larder.spawn()
    supervisor.wait("READY=1")
    assert larder.get(url).body == b"x"


def test_is_not_ready_when_it_cannot_start(make, supervisor):
    larder = make(env=supervisor.env, start=False, options={"listen": ["192.0.2.1:1"]})
    larder.spawn()
    assert larder.wait() == 1
    larder.process = None
    assert "READY=1" not in supervisor.hear()


@pytest.mark.parametrize("mistake", ["", "sizze = 3\n"])
def test_reloading_ends_in_ready(make, supervisor, mistake):
    """Whether the new configuration is good or not."""
    larder = make(env=supervisor.env)
    supervisor.wait("READY=1")
    larder.conf.write_text(larder.text() + mistake)
    larder.signal(signal.SIGHUP)
    supervisor.wait("READY=1", 2)
    ready = len(supervisor.said) - 1 - supervisor.said[::-1].index("READY=1")
    assert supervisor.said.index("RELOADING=1") < ready
    stamps = [line for line in supervisor.said if line.startswith("MONOTONIC_USEC=")]
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert 0 <= now - int(stamps[0].split("=")[1]) < 60_000_000


def test_no_supervisor_no_word(make, origin, path):
    """One that is gone, or a name that means nothing, does not keep it from serving."""
    for name in ("/nowhere/notify", "vsock:2:1234", "@" + "x" * 200):
        larder = make(env={"NOTIFY_SOCKET": name})
        assert larder.get(origin.on(path, Reply("x"))).status == 200


# ---- the watchdog ------------------------------------------------------------

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207


def ptrace(request, tid):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(request, tid, None, None) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def epolling_threads(pid):
    """Threads that wait in an event loop, but for the main one."""
    tasks = [int(t.name) for t in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    return sorted(t for t in tasks if t != pid and pathlib.Path(
        f"/proc/{pid}/task/{t}/wchan").read_text().startswith(("ep_", "do_epoll")))


def test_watchdog_is_fed(make, supervisor):
    make(env={**supervisor.env, "WATCHDOG_USEC": "2000000"})
    supervisor.wait("WATCHDOG=1", 3)


def test_watchdog_of_another_process_is_left_alone(make, supervisor):
    make(env={**supervisor.env, "WATCHDOG_USEC": "200000", "WATCHDOG_PID": "1"})
    supervisor.wait("READY=1")
    time.sleep(0.5)
    assert "WATCHDOG=1" not in supervisor.hear()


def test_watchdog_sees_one_hanging_worker(make, supervisor):
    """The main loop goes on, but a worker is stopped: no more words for the watchdog, until
    it runs again."""
    larder = make(env={**supervisor.env, "WATCHDOG_USEC": "400000"})
    supervisor.wait("WATCHDOG=1", 3)
    try:
        threads = epolling_threads(larder.pid)
    except OSError:
        threads = []
    if not threads:
        pytest.skip("/proc does not tell what a thread waits for")
    tid = threads[0]
    ptrace(PTRACE_SEIZE, tid)
    try:
        ptrace(PTRACE_INTERRUPT, tid)
        os.waitpid(tid, 0x40000000)  # __WALL
        time.sleep(0.4 * PATIENCE)  # what was under way
        supervisor.hear()
        before = supervisor.said.count("WATCHDOG=1")
        time.sleep(1)
        assert larder.ctl("ping").returncode == 0, "the main loop answers"
        assert supervisor.hear().count("WATCHDOG=1") == before
    finally:
        ptrace(PTRACE_DETACH, tid)
    supervisor.wait("WATCHDOG=1", before + 3)


# ---- sockets that are handed over --------------------------------------------

class Activated(Larder):
    """With listening sockets at descriptors 3 and up that stay open here."""

    def __init__(self, sockets, **kw):
        self.sockets = sockets
        super().__init__(start=False, **kw)
        self.port = sockets[0].getsockname()[1]

    def spawn(self, pid="$$"):
        fds = [s.fileno() for s in self.sockets]
        moves = "".join(f" {3 + i}<&{fd}" for i, fd in enumerate(fds))
        script = f"LISTEN_PID={pid} LISTEN_FDS={len(fds)} LISTEN_FDNAMES=larder " \
                 f"exec {shlex.quote(LARDERD)} -c {shlex.quote(str(self.conf))}{moves}"
        with open(self.stderr, "ab") as err:
            # Only after ours are out of the way of 3 and up.
            self.process = subprocess.Popen(
                ["bash", "-c", script], stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                env=self.env, cwd=self.folder, pass_fds=fds)
        return self.process


    def start(self):
        """That somebody accepts says nothing here."""
        said = len(self.messages())
        self.spawn()
        wait_for(lambda: "listens on" in self.messages()[said:] or
                 self.process.poll() is not None, 10, what="its start")
        assert self.process.poll() is None, self.messages()
        return self


def listening(count=1, family=socket.AF_INET, host="127.0.0.1"):
    made = []
    for _ in range(count):
        s = socket.socket(family)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, free_port(host)))
        s.listen(1024)
        # Out of the way of the descriptors that the daemon gets.
        high = socket.socket(fileno=os.dup2(s.detach(), 200 + len(made), inheritable=False))
        made.append(high)
    return made


@pytest.fixture
def activate():
    made = []

    def make_one(sockets, **kw):
        names = ["{}:{}".format(*s.getsockname()[:2]) if s.family == socket.AF_INET else
                 f"unix:{s.getsockname()}" for s in sockets]
        options = {"listen": names, **kw.pop("options", {})}
        made.append(Activated(sockets, options=options, **kw))
        return made[-1]
    yield make_one
    for larder in made:
        try:
            larder.close()
        finally:
            for s in larder.sockets:
                s.close()


def test_serves_on_a_socket_that_is_handed_over(activate, origin, path):
    larder = activate(listening(2)).start()
    url = origin.on(path, Reply("x"))
    assert larder.get(url).body == b"x"
    second = larder.sockets[1].getsockname()
    with Client(second, 10 * PATIENCE) as client:
        assert client.get(url).body == b"x"
    inode = os.fstat(larder.sockets[0].fileno()).st_ino
    own = [os.readlink(f) for f in pathlib.Path(f"/proc/{larder.pid}/fd").iterdir()]
    assert f"socket:[{inode}]" in own, "this very socket, none of its own"


def test_other_addresses_are_bound_beside_it(activate, origin, path):
    sockets = listening()
    own = free_port()
    larder = activate(sockets, options={"listen": [
        "127.0.0.1:%d" % sockets[0].getsockname()[1], f"127.0.0.1:{own}"]}).start()
    url = origin.on(path, Reply("x"))
    assert larder.get(url).body == b"x"
    with Client(("127.0.0.1", own), 10 * PATIENCE) as client:
        assert client.get(url).body == b"x"


def test_unix_socket_is_handed_over_and_stays(activate, origin, path, tmp_path):
    name = f"{tmp_path}/proxy.sock"
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(name)
    unix.listen(16)
    unix = socket.socket(fileno=os.dup2(unix.detach(), 201, inheritable=False))
    larder = activate([*listening(), unix]).start()
    with Client(name, 10 * PATIENCE) as client:
        assert client.get(origin.on(path, Reply("x"))).body == b"x"
    assert larder.stop() == 0
    assert os.path.exists(name), "its file is the supervisor's"


def test_sockets_for_another_process_are_left_alone(activate):
    larder = activate(listening(), options={"listen": [f"127.0.0.1:{free_port()}"]})
    larder.spawn(pid="1")
    wait_for(lambda: "listens on" in larder.messages(), what="its start")
    assert larder.process.poll() is None


def test_a_socket_that_the_configuration_does_not_name(activate):
    """Its clients would wait for ever."""
    larder = activate(listening(), options={"listen": [f"127.0.0.1:{free_port()}"]})
    port = larder.sockets[0].getsockname()[1]
    larder.spawn()
    assert larder.wait() == 1
    larder.process = None
    assert f"127.0.0.1:{port}" in larder.messages() and "listen" in larder.messages()


def test_reload_cannot_drop_it(activate, origin, path):
    larder = activate(listening()).start()
    larder.options["listen"] = [f"127.0.0.1:{free_port()}"]
    larder.write_conf()
    done = larder.ctl("reload", check=1)
    assert "handed over" in done.stderr
    assert larder.get(origin.on(path, Reply("x"))).body == b"x"


@pytest.mark.parametrize("what", ["file", "datagram", "connected"])
def test_no_listening_socket(activate, what, tmp_path):
    sockets = listening()
    if what == "file":
        fd = os.open("/dev/null", os.O_RDONLY)
    else:
        made = socket.socket(type=socket.SOCK_DGRAM) if what == "datagram" else \
            socket.create_connection(sockets[0].getsockname())
        fd = made.detach()
    os.dup2(fd, 202, inheritable=False)
    os.close(fd)
    larder = activate(sockets)
    larder.sockets.append(open(202, "rb", buffering=0))
    larder.spawn()
    assert larder.wait() == 1
    larder.process = None
    assert "descriptor 4" in larder.messages()


@pytest.mark.parametrize("count", ["-1", "65", "x", "99999999999999999999"])
def test_odd_numbers_of_sockets(make, count):
    larder = make(start=False)
    script = f"LISTEN_PID=$$ LISTEN_FDS={count} exec {shlex.quote(LARDERD)} " \
             f"-c {shlex.quote(str(larder.conf))}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True,
                          timeout=10 * PATIENCE)
    assert done.returncode == 1 and "LISTEN_FDS" in done.stderr


def test_no_connection_is_lost_over_a_restart(activate, origin, path):
    """Connections all the time, each for one request, while the daemon is stopped and
    started three times: every one is answered."""
    larder = activate(listening(), options={
        "workers": 2, "timeouts": {"drain": "10s", "header": "10s"}}).start()
    url = origin.on(path, Reply("x", fields={"Cache-Control": "max-age=600"}))
    assert larder.get(url).body == b"x"
    over, answered, lost = threading.Event(), [], []

    def ask():
        while not over.is_set():
            try:
                with larder.client(60) as client:
                    answered.append(client.get(url).status)
            except Exception as e:  # whatever it is, it is one lost
                lost.append(repr(e))
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            before = len(answered)
            wait_for(lambda: len(answered) > before + 20, 20, what="answers")
            assert larder.stop() == 0
            time.sleep(0.2)
            larder.spawn()
        before = len(answered)
        wait_for(lambda: len(answered) > before + 20, 20, what="answers")
    finally:
        over.set()
        for thread in threads:
            thread.join(60 * PATIENCE)
    assert not lost, lost
    assert set(answered) == {200}


def test_who_connected_before_the_stop_is_answered(activate, origin, path):
    """A connection that was accepted, and whose first request comes a moment after the
    stop began."""
    larder = activate(listening()).start()
    url = origin.on(path, Reply("x", fields={"Cache-Control": "max-age=600"}))
    larder.get(url)
    with larder.client() as client:
        wait_for(lambda: '"connections_open": 1' in larder.ctl("--json", "stats").stdout,
                 what="the connection")
        larder.signal(signal.SIGTERM)
        time.sleep(0.1)
        assert client.get(url).body == b"x"
    assert larder.wait() == 0
