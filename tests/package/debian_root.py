"""Debian roots: made by debootstrap, entered by chroot, or booted with systemd."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

#: For commands in the root.
ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
       "HOME": "/root", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
SLOW = os.environ.get("LARDER_TEST_SLOW", "") not in ("", "0")
PATIENCE = 4 if SLOW else 1
#: A public address that is nobody's but the private network's of a test.
ORIGIN = "9.9.9.9"


def output(*command, **kw):
    return subprocess.run(command, check=True, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, **kw).stdout


def wait_for(condition, within=20, every=0.1, what="condition"):
    end = time.monotonic() + within * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {within * PATIENCE} s for {what}"
        time.sleep(every)


def archive():
    """(address, release, proxy) as this machine's apt has them."""
    release = re.search(r"^VERSION_CODENAME=(\w+)$", pathlib.Path("/etc/os-release").read_text(),
                        re.M)[1]
    targets = output("apt-get", "indextargets", "--format",
                     "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(CREATED_BY)")
    found = [line.split("|")[0] for line in targets.splitlines()
             if line.split("|")[1:] == [release, "main", "Packages"]]
    assert found, f"this machine's apt knows no archive of {release} (apt-get update?)"
    proxy = re.search(r'^Acquire::http::Proxy "(.*)";$', output("apt-config", "dump"), re.M)
    return found[0], release, proxy[1] if proxy else ""


def base(folder):
    """Makes it if it is not there: a minimal Debian with systemd."""
    done = folder / "base"
    if done.exists():
        return done
    address, release, proxy = archive()
    making = folder / "making"
    shutil.rmtree(making, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, **({"http_proxy": proxy} if proxy else {})}
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,ca-certificates,cron",
         release, making, address], env=env, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert made.returncode == 0, made.stdout[-4000:]
    if proxy:
        (making / "etc/apt/apt.conf.d/01proxy").write_text(f'Acquire::http::Proxy "{proxy}";\n')
    (making / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
    making.rename(done)
    return done


class Root:
    """An overlay over the base. Commands run in it by chroot; those of `net` in a network
    of its own, in which ORIGIN is an address of the machine's."""

    def __init__(self, lower):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="larder-root-"))
        self.path = self.folder / "root"
        self.mounts, self.started = [], []
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir()
        self.mount("-t", "overlay", "overlay", "-o",
                   f"lowerdir={lower},upperdir={self.folder}/upper,workdir={self.folder}/work",
                   self.path)
        shutil.copy("/etc/resolv.conf", self.path / "etc/resolv.conf")
        # What runs in it by chroot must not start services.
        policy = self.path / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        for what in ("proc", "dev"):
            self.mount("--rbind", f"/{what}", self.path / what)
            subprocess.run(["mount", "--make-rslave", self.path / what], check=True)
        self.holder = None

    def mount(self, *words):
        subprocess.run(["mount", *map(str, words)], check=True)
        self.mounts.append(words[-1])

    def unmount(self):
        while self.mounts:
            subprocess.run(["umount", "-R", "-l", self.mounts.pop()], check=True)

    def close(self):
        for process in reversed(self.started):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20 * PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.unmount()
        shutil.rmtree(self.folder)

    # -- commands ----------------------------------------------------------
    def inside(self, words):
        return ["chroot", str(self.path), *map(str, words)]

    def run(self, *words, check=0, env=None, timeout=300, stdin=None, stderr=True):
        """In the root; its output. check: the exit status that must come, or None."""
        return self.finish(self.inside(words), check, {**ENV, **(env or {})}, timeout, stdin,
                           stderr)

    def finish(self, command, check, env, timeout, stdin=None, stderr=True):
        done = subprocess.run(command, env=env, text=True, errors="replace", input=stdin or "",
                              stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT if stderr else subprocess.DEVNULL,
                              timeout=timeout * PATIENCE)
        assert check is None or done.returncode == check, \
            f"{command} ended with {done.returncode}, not {check}:\n{done.stdout}"
        return done.stdout

    def install(self, deb, *options, check=0):
        """apt-get install of a file; the dependencies come from the archive."""
        shutil.copy(deb, self.path / "tmp")
        if not any((self.path / "var/lib/apt/lists").glob("*Packages*")):
            self.run("apt-get", "update", "-q")
        return self.run("apt-get", "install", "-q", "-y", "--no-install-recommends", *options,
                        f"/tmp/{pathlib.Path(deb).name}", check=check)

    def read(self, name):
        return (self.path / name.lstrip("/")).read_text()

    def exists(self, name):
        return os.path.lexists(self.path / name.lstrip("/"))

    # -- its own network ------------------------------------------------------
    def network(self):
        """A command line that runs something there."""
        if self.holder is None:
            self.holder = subprocess.Popen(["unshare", "-n", "sleep", "infinity"])
            self.started.append(self.holder)
            wait_for(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") !=
                     os.readlink("/proc/self/ns/net"), what="a network")
            self.prepare_network()
        return ["nsenter", "-t", str(self.leader()), "-n"]

    def leader(self):
        return self.holder.pid

    def prepare_network(self):
        for words in (["link", "set", "lo", "up"], ["addr", "add", f"{ORIGIN}/32", "dev", "lo"]):
            subprocess.run(["nsenter", "-t", str(self.leader()), "-n", "ip", *words], check=True)

    def serve(self, files):
        """An origin at http://ORIGIN:8000/ with these files ({name: bytes})."""
        folder = self.folder / "served"
        folder.mkdir(exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
            os.utime(folder / name, (1_600_000_000, 1_600_000_000))
        self.origin_log = open(self.folder / "origin.log", "ab")
        self.started.append(subprocess.Popen(
            [*self.network(), "python3", "-m", "http.server", "--bind", ORIGIN,
             "--directory", folder, "8000"], stdin=subprocess.DEVNULL,
            stdout=self.origin_log, stderr=self.origin_log))
        wait_for(lambda: self.curl(f"http://{ORIGIN}:8000/", proxy="")[0] == 200, what="the origin")

    def asked(self, name):
        """How often the origin was asked for a file."""
        return (self.folder / "origin.log").read_text().count(f"GET /{name} ")

    def curl(self, url, proxy="http://127.0.0.1:3128", timeout=20):
        """(status, head, body); status 0: no answer."""
        done = subprocess.run(
            [*self.network(), "curl", "-sS", "-i", "-m", str(timeout * PATIENCE), "-x", proxy, url],
            capture_output=True)
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        match = re.match(rb"HTTP/1\.[01] (\d{3})", head)
        return int(match[1]) if match else 0, head.decode("latin-1"), body

    def fetch(self, name):
        """Through larder: (was it a hit?, body)."""
        status, head, body = self.curl(f"http://{ORIGIN}:8000/{name}")
        assert status == 200, head
        return "larder; hit" in head, body


class Machine(Root):
    """The root, booted: systemd is its first process. Its network is its own. Before boot()
    commands run in it by chroot."""

    first = None  # its first process, as seen from here

    def boot(self):
        self.unmount_for_boot()
        self.console = open(self.folder / "console", "ab")
        self.nspawn = subprocess.Popen(
            ["systemd-nspawn", "--keep-unit", "--register=no", "--quiet", "--console=pipe",
             "--private-network", "--resolv-conf=off", "--boot", "-D", str(self.path)],
            stdin=subprocess.DEVNULL, stdout=self.console, stderr=self.console)
        self.started.append(self.nspawn)
        self.first = wait_for(self.find_first, what="the first process")
        wait_for(lambda: "running" in self.state() or "degraded" in self.state(), 60,
                 what="systemd")
        self.prepare_network()
        return self

    def unmount_for_boot(self):
        """nspawn brings its own."""
        while len(self.mounts) > 1:
            subprocess.run(["umount", "-R", "-l", self.mounts.pop()], check=True)
        (self.path / "usr/sbin/policy-rc.d").unlink()

    def find_first(self):
        """nspawn's child's child, in namespaces of its own."""
        assert self.nspawn.poll() is None, (self.folder / "console").read_text()[-4000:]
        todo, own = [self.nspawn.pid], os.readlink("/proc/self/ns/pid")
        while todo:
            pid = todo.pop()
            try:
                if os.readlink(f"/proc/{pid}/ns/pid") != own and \
                        "systemd" in pathlib.Path(f"/proc/{pid}/comm").read_text():
                    return pid
                todo += map(int, pathlib.Path(
                    f"/proc/{pid}/task/{pid}/children").read_text().split())
            except OSError:
                pass
        return None

    def state(self):
        return self.run("systemctl", "is-system-running", check=None)

    def inside(self, words):
        if self.first is None:
            return super().inside(words)
        return ["nsenter", "-t", str(self.first), "-m", "-u", "-i", "-n", "-p", "-r", "-w", "--",
                *map(str, words)]

    def network(self):
        return ["nsenter", "-t", str(self.first), "-n"]

    def leader(self):
        return self.first

    def close(self):
        if getattr(self, "nspawn", None) and self.nspawn.poll() is None:
            self.nspawn.terminate()
            try:
                self.nspawn.wait(60 * PATIENCE)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
        super().close()

    # -- systemd -----------------------------------------------------------------
    def show(self, unit, what):
        return self.run("systemctl", "show", "-P", what, unit).strip()

    def is_active(self, unit):
        return self.show(unit, "ActiveState") == "active"

    def journal(self, unit="larder.service"):
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit)
