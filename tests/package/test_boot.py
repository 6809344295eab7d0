"""larder under a real systemd: in a container that systemd-nspawn boots."""
import re
import shutil
import subprocess
import threading
import time

import pytest

from debian_root import ORIGIN, PATIENCE, Machine, wait_for
from test_root import BODY, depends, newer

pytestmark = pytest.mark.root
#: From the archive, before the network is cut.
TOOLS = ["logrotate", "cron"]


@pytest.fixture(scope="module")
def machine(base, debs):
    """Booted, with larder installed by apt while systemd runs."""
    made = Machine(base)
    try:
        shutil.copy(debs["larder"], made.path / "root")
        made.run("apt-get", "update", "-q")
        made.run("apt-get", "install", "-q", "-y", "--no-install-recommends", *TOOLS,
                 *depends(debs["larder"]))
        try:
            made.boot()
        except (AssertionError, OSError) as e:
            pytest.skip(f"systemd cannot be booted here: {str(e)[-300:]}")
        made.said = made.run("apt-get", "install", "-q", "-y", "--no-install-recommends",
                             f"/root/{debs['larder'].name}")
        made.serve({"a": BODY, "b": BODY * 20})
        yield made
    finally:
        made.close()


def main_pid(machine):
    return machine.show("larder", "MainPID")


def test_it_runs_and_caches_at_once(machine):
    assert machine.is_active("larder"), machine.journal()
    assert "larder runs on http://" in machine.said, machine.said
    assert "Acquire::http::Proxy" in machine.said.splitlines()[-1]
    assert machine.fetch("a") == (False, BODY)
    assert machine.fetch("a") == (True, BODY)
    assert machine.fetch("b") == (False, BODY * 20)


def test_the_unit_is_as_it_should_be(machine):
    assert machine.show("larder", "Type") == "notify"
    assert "listens on 0.0.0.0:3128" in machine.show("larder", "StatusText")
    assert machine.run("stat", "-c", "%U %a", "/run/larder", "/var/cache/larder",
                       "/var/log/larder").split() == ["larder", "755", "larder", "750",
                                                      "larder", "750"]
    warnings = [line for line in machine.journal().splitlines()
                if re.search(r" (warn|error) |denied|not permitted", line) and
                "limit on open files" not in line]  # that is this machine's
    assert not warnings, "its cage does not hurt it"
    exposure = machine.run("systemd-analyze", "security", "--no-pager", "larder.service")
    assert float(re.search(r"exposure level for \S+ ([0-9.]+)", exposure)[1]) <= 2.5


def test_root_and_the_group_may_ask(machine):
    machine.run("larderctl", "ping")
    assert "a" in machine.run("larderctl", "ls")


def test_reload(machine):
    machine.run("systemctl", "reload", "larder")
    assert machine.is_active("larder")
    machine.run("sh", "-c", "echo 'sizze = 3' >> /etc/larder/larder.conf")
    try:
        machine.run("systemctl", "reload", "larder", check=1)
        assert "sizze" in machine.journal(), "systemctl status says what is wrong"
        assert machine.is_active("larder")
    finally:
        machine.run("sed", "-i", "/sizze/d", "/etc/larder/larder.conf")
    assert machine.fetch("a") == (True, BODY)


def test_restart_keeps_the_cache(machine):
    machine.run("systemctl", "restart", "larder")
    assert machine.fetch("a") == (True, BODY)
    assert machine.show("larder", "Result") == "success"


def test_watchdog_restarts_what_hangs(machine):
    machine.run("sh", "-c", "mkdir -p /run/systemd/system/larder.service.d && printf "
                "'[Service]\nWatchdogSec=2\n' > /run/systemd/system/larder.service.d/t.conf && "
                "systemctl daemon-reload && systemctl restart larder")
    try:
        pid = main_pid(machine)
        time.sleep(5)
        assert main_pid(machine) == pid, "it feeds the watchdog"
        machine.run("systemctl", "kill", "--kill-whom=main", "--signal=STOP", "larder")
        wait_for(lambda: main_pid(machine) not in (pid, "0") and machine.is_active("larder"), 60,
                 what="a new one")
        assert "watchdog" in machine.journal().lower()
        assert machine.fetch("a") == (True, BODY)
    finally:
        machine.run("sh", "-c", "rm -r /run/systemd/system/larder.service.d; "
                    "systemctl daemon-reload; systemctl restart larder")


def test_jobs_by_timer_and_not_by_cron(machine):
    timers = machine.run("systemctl", "list-timers", "--all", "--no-legend")
    assert "larder-gc.timer" in timers and "larder-verify.timer" in timers
    for job in ("gc", "verify"):
        machine.run("systemctl", "start", f"larder-job@{job}")
        assert machine.journal(f"larder-job@{job}").count("larder on") == 0
    for line in machine.read("/etc/cron.d/larder").splitlines():
        if re.match(r"\d.*\tlarder\t", line):
            traced = machine.run("sh", "-xc", line.split("\t", 2)[2])
            assert "/usr/lib/larder/job" not in traced, "where systemd runs, cron's do nothing"
    # The daemon is down: they do their work on the cache itself.
    machine.run("systemctl", "stop", "larder")
    for job in ("gc", "verify"):
        machine.run("systemctl", "start", f"larder-job@{job}")
    # What fails is seen.
    machine.run("sh", "-c", "echo 'sizze = 3' >> /etc/larder/larder.conf")
    machine.run("systemctl", "start", "larder-job@gc", check=1)
    machine.run("sed", "-i", "/sizze/d", "/etc/larder/larder.conf")
    assert "configuration is wrong" in machine.journal("larder-job@gc")
    machine.run("systemctl", "start", "larder")


def test_logrotate(machine):
    machine.fetch("a")
    log = "/var/log/larder/access.log"
    wait_for(lambda: machine.read(log), what="the log")
    machine.run("logrotate", "-f", "/etc/logrotate.d/larder")
    assert "/a" in machine.read(log + ".1")
    machine.fetch("b")
    wait_for(lambda: machine.exists(log) and "/b" in machine.read(log), what="the new log")
    assert machine.run("logrotate", "-f", "/etc/logrotate.d/larder") == ""


def test_socket_activation_loses_no_connection(machine):
    """Restarted three times by systemctl, with clients that connect all the time."""
    machine.run("systemctl", "stop", "larder")
    machine.run("systemctl", "start", "larder.socket")
    machine.run("systemctl", "start", "larder")
    # All of it in one process in the machine's network: a shell's curls would be too slow.
    client = f"""
import socket, sys, threading, time
over, done, lost = threading.Event(), [], []
def ask():
    while not over.is_set():
        try:
            s = socket.create_connection(("127.0.0.1", 3128), 60)
            s.settimeout(60)
            s.sendall(b"GET http://{ORIGIN}:8000/a HTTP/1.1\\r\\nHost: {ORIGIN}:8000\\r\\n"
                      b"Connection: close\\r\\n\\r\\n")
            got = b""
            while True:
                more = s.recv(65536)
                if not more:
                    break
                got += more
            (done if got.startswith(b"HTTP/1.1 200 ") and len(got) > {len(BODY)} else
             lost).append(got[:80])
        except OSError as e:
            lost.append(repr(e))
threads = [threading.Thread(target=ask) for _ in range(6)]
[t.start() for t in threads]
sys.stdin.readline()
over.set()
[t.join() for t in threads]
print(len(done), lost)
"""
    process = subprocess.Popen([*machine.network(), "python3", "-c", client], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for _ in range(3):
        time.sleep(1)
        machine.run("systemctl", "reset-failed", "larder")  # not too often for it
        machine.run("systemctl", "restart", "larder")
    time.sleep(1)
    said, _ = process.communicate("\n", timeout=120 * PATIENCE)
    done, lost = said.split(" ", 1)
    assert lost.strip() == "[]", said
    assert int(done) > 50
    # Somebody connects, and it is not running: that starts it.
    machine.run("systemctl", "stop", "larder.service")
    assert not machine.is_active("larder.service")
    assert machine.fetch("a") == (True, BODY)
    assert machine.is_active("larder.service")
    machine.run("systemctl", "stop", "larder.socket", "larder.service")
    machine.run("systemctl", "start", "larder.service")


@pytest.fixture(autouse=True)
def patient(machine):
    """These tests start it more often than systemd thinks that anybody should."""
    machine.run("systemctl", "reset-failed")
    yield


def test_without_v6(machine):
    """A machine whose kernel has none: what the configuration names beyond it serves."""
    machine.run("sh", "-c", "mkdir -p /run/systemd/system/larder.service.d && printf "
                "'[Service]\nRestrictAddressFamilies=\nRestrictAddressFamilies=AF_UNIX AF_INET "
                "AF_NETLINK\nSystemCallErrorNumber=EAFNOSUPPORT\n' "
                "> /run/systemd/system/larder.service.d/t.conf && systemctl daemon-reload && "
                "systemctl restart larder")
    try:
        assert machine.fetch("a") == (True, BODY)
        assert "left out" in machine.journal()
    finally:
        machine.run("sh", "-c", "rm -r /run/systemd/system/larder.service.d; "
                    "systemctl daemon-reload; systemctl restart larder")


def test_a_cache_elsewhere_by_dpkg_reconfigure(machine):
    machine.run("sh", "-c", "sed -i 's|/var/cache/larder\"|/srv/cache\"|' /etc/larder/larder.conf")
    machine.run("dpkg-reconfigure", "larder")
    machine.run("systemctl", "restart", "larder")
    assert machine.is_active("larder"), machine.journal()
    assert machine.fetch("a") == (False, BODY) and machine.fetch("a") == (True, BODY)
    assert machine.run("stat", "-c", "%U", "/srv/cache").strip() == "larder"
    machine.run("systemctl", "start", "larder-job@gc")
    machine.run("sh", "-c", "sed -i 's|/srv/cache\"|/var/cache/larder\"|' /etc/larder/larder.conf")
    machine.run("dpkg-reconfigure", "larder")
    machine.run("systemctl", "restart", "larder")
    assert machine.fetch("a") == (True, BODY), "the old one is there still"


def test_upgrade_while_it_runs(machine, debs, tmp_path):
    pid = main_pid(machine)
    shutil.copy(newer(debs["larder"], tmp_path), machine.path / "root")
    machine.run("apt-get", "install", "-q", "-y", "/root/larder_0.1.1.deb")
    assert machine.is_active("larder") and main_pid(machine) != pid
    assert machine.fetch("a") == (True, BODY)


def test_remove_and_purge(machine):
    machine.run("apt-get", "remove", "-q", "-y", "larder")
    assert machine.curl(f"http://{ORIGIN}:8000/a")[0] == 0
    assert machine.exists("/var/cache/larder/larder.store")
    machine.run("apt-get", "purge", "-q", "-y", "larder")
    assert not machine.exists("/var/cache/larder") and not machine.exists("/etc/larder")
    assert "larder" not in machine.read("/etc/passwd")
    assert "larder" not in machine.run("systemctl", "list-unit-files", "--no-legend")
