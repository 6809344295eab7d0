"""The packages' life on a clean Debian without a running systemd."""
import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from debian_root import PATIENCE, wait_for

pytestmark = pytest.mark.root
BODY = bytes(range(256)) * 500


def newer(deb, folder):
    """The same package with the next version, and another template of larder.conf."""
    tree = folder / "newer"
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", "Version: 0.1.1", control.read_text(), flags=re.M))
    with open(tree / "usr/share/larder/larder.conf", "a") as f:
        f.write("# The next version's.\n")
    made = folder / "larder_0.1.1.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, made], check=True,
                   stdout=subprocess.DEVNULL)
    return made


def by_hand(root):
    """Starts larderd as larderd(8) says, in the root's own network."""
    root.network()
    script = "install -d -o larder -g larder /run/larder && " \
        "exec setpriv --reuid larder --regid larder --clear-groups larderd"
    process = subprocess.Popen([*root.network(), *root.inside(["sh", "-c", script])],
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    root.started.append(process)
    wait_for(lambda: process.poll() is not None or root.curl("http://0/")[0], what="larderd")
    assert process.poll() is None, process.stderr.read()
    return process


def end(process):
    process.terminate()
    assert process.wait(60 * PATIENCE) == 0


def files(root):
    """{name: what it is} of all that a package could leave."""
    found = {}
    for folder, folders, names in os.walk(root.path):
        here = pathlib.Path(folder).relative_to(root.path)
        if str(here) in ("proc", "dev", "sys", "tmp", "var/lib/apt", "var/cache/apt",
                         "var/lib/dpkg", "var/log", "var/cache/ldconfig"):
            folders[:] = []
            if str(here) != "var/log":
                continue
        for name in [*folders, *names]:
            at = here / name
            full = root.path / at
            found[str(at)] = full.read_bytes() if full.is_file() and not full.is_symlink() and \
                str(at).startswith("etc/") else None
    return found


def depends(deb):
    """Packages that it needs, to be installed before the network is cut, or before what it
    leaves is looked for."""
    field = subprocess.run(["dpkg-deb", "-f", deb, "Depends"], check=True, text=True,
                           capture_output=True).stdout
    return ["debconf", "adduser", *re.findall(r"lib[a-z0-9.+-]+|zlib1g", field)]


def user(root):
    return re.search(r"^larder:.*$", root.read("/etc/passwd"), re.M)


def effective(root, *options):
    return root.run("larderd", "-n")


def test_from_install_to_purge(root, larder_deb, tmp_path):
    root.run("apt-get", "update", "-q")
    root.run("apt-get", "install", "-q", "-y", "--no-install-recommends", *depends(larder_deb))
    before = files(root)

    said = root.install(larder_deb)
    assert "Acquire::http::Proxy" in said.splitlines()[-1], said
    assert re.search(r'Proxy "http://[^/:]+:3142"', said)
    assert user(root)
    for folder in ("var/cache/larder", "var/log/larder"):
        status = (root.path / folder).stat()
        assert status.st_uid == int(user(root)[0].split(":")[2]), folder
        assert status.st_mode & 0o777 == 0o750, folder
    size = re.search(r'size = "(\d+)([MG])"', effective(root))
    disk = os.statvfs(root.path)
    total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    budget = int(size[1]) << (20 if size[2] == "M" else 30)
    assert budget <= max(64 << 20, free - total // 10), "a tenth of the disk stays free"
    assert budget > min(free // 3, 1 << 30) or budget == 64 << 20

    root.serve({"a": BODY})
    larderd = by_hand(root)
    assert root.fetch("a") == (False, BODY)
    assert root.fetch("a") == (True, BODY)
    assert root.asked("a") == 1
    assert os.stat(f"/proc/{larderd.pid}").st_uid == int(user(root)[0].split(":")[2])

    # Upgrade: the configuration was edited, the cache is full.
    conf = root.path / "etc/larder/larder.conf"
    edited = conf.read_text().replace("cache {", "# mine\ncache {\n\tmax_object = \"77M\"") + \
        'rule { match = "*/mine/*" immutable = true }\n'
    conf.write_text(edited)
    root.install(newer(larder_deb, tmp_path))
    assert conf.read_text() == edited
    assert "next version" in root.read("/usr/share/larder/larder.conf")
    end(larderd)
    larderd = by_hand(root)
    assert root.fetch("a") == (True, BODY)
    end(larderd)

    # Remove: the cache and the configuration stay.
    root.run("apt-get", "remove", "-q", "-y", "larder")
    assert not root.exists("/usr/sbin/larderd")
    assert conf.read_text() == edited
    assert root.exists("/var/cache/larder/larder.store")
    # What cron and logrotate find then says nothing.
    for line in cron_lines(root):
        assert root.run("sh", "-c", line) == ""

    # And again.
    root.install(larder_deb)
    assert conf.read_text() == edited
    larderd = by_hand(root)
    assert root.fetch("a") == (True, BODY)
    assert root.asked("a") == 1
    end(larderd)

    root.run("apt-get", "purge", "-q", "-y", "larder")
    assert not user(root)
    after = files(root)
    left = {name for name in after if name not in before}
    left -= {name for name in left if re.match(
        r"run/|etc/(passwd|group|g?shadow|sub[ug]id)-$|var/cache/debconf/|etc/\.pwd\.lock$|"
        r"var/log/(apt|dpkg|alternatives)|var/cache/ldconfig", name)}
    assert not left, sorted(left)
    changed = {name for name in before if name.startswith("etc/") and
               before[name] != after.get(name)}
    changed -= {name for name in changed if re.match(
        r"etc/((passwd|group|g?shadow|sub[ug]id)-?|ld\.so\.cache|mtab|hostname|resolv\.conf)$", name)}
    assert not changed, sorted(changed)


def cron_lines(root):
    """The commands of cron's file as a machine without systemd would run them."""
    found = [line.split("\t", 2)[2] for line in root.read("/etc/cron.d/larder").splitlines()
             if re.match(r"\d.*\tlarder\t", line)]
    assert len(found) == 2
    return found


def reconfigure(root, question, answer):
    """dpkg-reconfigure, with somebody who changes one answer in an editor."""
    editor = root.path / "tmp/editor"
    editor.write_text(f"""#!/bin/sh
exec sed -i 's|^larder/{question}=.*|larder/{question}="{answer}"|' "$1"
""")
    editor.chmod(0o755)
    return root.run("dpkg-reconfigure", "-feditor", "-plow", "larder",
                    env={"EDITOR": "/tmp/editor", "VISUAL": "/tmp/editor", "DEBIAN_FRONTEND": "editor"}, timeout=60)


def test_preseeded_answers_and_a_folder_elsewhere(root, larder_deb):
    root.run("apt-get", "update", "-q")
    (root.path / "srv/mine").mkdir()
    (root.path / "srv/mine/keep").write_text("x")
    root.run("debconf-set-selections", stdin="""
larder larder/listen string 127.0.0.1:3128 [::1]:3142
larder larder/cache-folder string /srv/larder
larder larder/cache-size string 300M
""")
    root.install(larder_deb)
    now = effective(root)
    assert 'listen = {"127.0.0.1:3128", "[::1]:3142"}' in now
    assert 'path = "/srv/larder"' in now and 'size = "300M"' in now
    for unit in ("larder.service", "larder-job@.service"):
        assert 'ReadWritePaths="-/srv/larder"' in root.read(
            f"/etc/systemd/system/{unit}.d/cache-folder.conf")
    root.serve({"a": BODY})
    larderd = by_hand(root)
    assert root.fetch("a") == (False, BODY)
    assert root.fetch("a")[0]
    end(larderd)
    (root.path / "srv/larder/keep").write_text("not larder's")

    # Other answers, to an edited file: they alone change in it.
    conf = root.path / "etc/larder/larder.conf"
    edited = conf.read_text().replace("cache {", "# mine\ncache {")
    conf.write_text(edited)
    reconfigure(root, "cache-size", "400M")
    assert conf.read_text() == edited.replace('"300M"', '"400M"')
    conf.write_text(edited)

    # A folder that is somebody else's is not taken, nor is nonsense.
    for answer in ("/srv/mine", "/etc", "relative"):
        said = reconfigure(root, "cache-folder", answer)
        assert conf.read_text() == edited, answer
        assert "folder of its own" in said
    assert (root.path / "srv/mine").stat().st_uid == 0

    root.run("apt-get", "purge", "-q", "-y", "larder")
    assert os.listdir(root.path / "srv/larder") == ["keep"], "only what larder has put there goes"
    assert root.read("/srv/mine/keep") == "x"
    assert not user(root)
    assert not root.exists("/etc/systemd/system/larder.service.d")


def test_a_wrong_configuration_does_not_break_the_upgrade(root, larder_deb, tmp_path):
    root.install(larder_deb)
    conf = root.path / "etc/larder/larder.conf"
    conf.write_text("sizze = 3\n")
    said = root.install(newer(larder_deb, tmp_path))
    assert conf.read_text() == "sizze = 3\n"
    assert "mistakes" in said


def test_jobs(root, larder_deb):
    """Cron's lines: quiet on success, with the daemon up and down; words and an exit status
    on failure; never two at once; never for ever."""
    root.install(larder_deb)
    job = ["setpriv", "--reuid", "larder", "--regid", "larder", "--clear-groups",
           "/usr/lib/larder/job"]
    assert root.run(*job, "gc") == "", "no cache yet: nothing to do"
    root.serve({"a": BODY, "b": BODY * 20})
    larderd = by_hand(root)
    root.fetch("a"), root.fetch("b")
    assert root.run(*job, "gc") == "" and root.run(*job, "verify") == "", "the daemon is up"
    for line in cron_lines(root):
        line = line.replace("[ -d /run/systemd/system ]", "false")
        assert root.run("setpriv", "--reuid", "larder", "--regid", "larder", "--clear-groups",
                        "sh", "-c", line) == ""
    # It hangs: the job does not.
    larderd.send_signal(19)
    try:
        start = time.monotonic()
        said = root.run(*job, "gc", check=1, env={"LARDER_JOB_DEADLINE": "1s"})
        assert "did not end within 1s" in said and time.monotonic() - start < 20 * PATIENCE
    finally:
        larderd.send_signal(18)
    end(larderd)
    assert root.run(*job, "gc") == "" and root.run(*job, "verify") == "", "the daemon is down"

    # One at a time.
    holder = subprocess.Popen(root.inside(["flock", "/var/cache/larder", "sleep", "60"]))
    root.started.append(holder)
    wait_for(lambda: subprocess.run(["flock", "-n", root.path / "var/cache/larder", "true"]
                                    ).returncode == 1, what="the lock")
    said = root.run(*job, "gc", check=1, env={"LARDER_JOB_WAIT": "1"})
    assert "another job" in said
    holder.kill()
    holder.wait()
    subprocess.run(["pkill", "-P", str(holder.pid)])
    wait_for(lambda: subprocess.run(["flock", "-n", root.path / "var/cache/larder", "true"]
                                    ).returncode == 0, 70, what="the lock's end")

    # Damage: 4, with the URL.
    blob = max((p for p in (root.path / "var/cache/larder").rglob("*") if p.is_file() and
                p.parent.name != "larder"), key=lambda p: p.stat().st_size)
    with open(blob, "r+b") as f:
        f.seek(blob.stat().st_size // 2)
        f.write(b"\0damage\0" * 16)
    said = root.run(*job, "verify", check=4)
    assert "/b" in said and "found damage" in said and "smartctl" in said

    (root.path / "etc/larder/larder.conf").write_text("sizze = 3\n")
    said = root.run(*job, "gc", check=1)
    assert "sizze" in said and "configuration is wrong" in said
    assert "which job" in root.run(*job, check=2)


def test_the_client_uses_a_larder(root, debs):
    """apt itself, through a larder on 127.0.0.1 and then without one."""
    root.install(debs["larder"])
    root.install(debs["larder-client"])
    (root.path / "etc/default/larder-client").write_text('LARDER="127.0.0.1:3128"\n')
    root.serve({"Packages": b""})
    larderd = by_hand(root)
    root.run("sh", "-c", "rm -rf /etc/apt/sources.list* && "
             "echo 'deb [trusted=yes] http://9.9.9.9:8000/ ./' > /etc/apt/sources.list")
    update = [*root.network(), *root.inside(["apt-get", "update", "-q"])]
    done = subprocess.run(update, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    log = root.read("/var/log/larder/access.log")
    assert "GET http://9.9.9.9:8000/./Packages" in log
    end(larderd)
    done = subprocess.run(update, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert root.read("/var/log/larder/access.log") == log
    root.run("apt-get", "purge", "-q", "-y", "larder-client")
    assert not root.exists("/etc/apt/apt.conf.d/30larder-client")
