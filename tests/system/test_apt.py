"""A real apt: update and install through larder, as several machines would.

The repository is made here from .deb files by dpkg-deb and apt-ftparchive, and
is served with Last-Modified, ETag and ranges, as mirrors do. Every machine has
folders of its own for state, cache and configuration; nothing of the host's
apt is read or written."""
import hashlib
import os
import pathlib
import shutil
import subprocess
import time

import pytest

from harness.daemon import PATIENCE, Larder, wait_for
from harness.origin import Origin, Reply, Resource, http_date

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("apt-get", "apt-ftparchive", "dpkg-deb"))),
    reason="needs apt, apt-utils and dpkg-dev")

WEEK = 7 * 86400
HASHES = {"MD5Sum": hashlib.md5, "SHA1": hashlib.sha1, "SHA256": hashlib.sha256,
          "SHA512": hashlib.sha512}


def run(*command, cwd=None, env=None):
    return subprocess.run(list(map(str, command)), cwd=cwd, check=True, text=True,
                          capture_output=True, stdin=subprocess.DEVNULL, env=env).stdout


class Repository:
    """dists/stable and pool/ below one folder, by hash as well."""

    def __init__(self, folder):
        self.root = folder / "repository"
        self.work = folder / "work"
        self.pool = self.root / "pool"
        self.dist = self.root / "dists/stable"
        self.pool.mkdir(parents=True)
        self.fields = {}

    def package(self, name, version, size=3000):
        tree = self.work / f"{name}_{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / f"usr/share/{name}").mkdir(parents=True)
        (tree / f"usr/share/{name}/data").write_bytes(os.urandom(size))
        (tree / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
            f"Maintainer: nobody <nobody@example.org>\nDescription: test {name}\n")
        deb = self.pool / f"{name}_{version}_all.deb"
        run("dpkg-deb", "--root-owner-group", "-b", tree, deb)
        return deb

    def publish(self, age):
        """Makes the indices; every file is `age` seconds old."""
        shutil.rmtree(self.dist, ignore_errors=True)
        binary = self.dist / "main/binary-all"
        binary.mkdir(parents=True)
        packages = run("apt-ftparchive", "packages", "pool", cwd=self.root)
        (binary / "Packages").write_text(packages)
        run("gzip", "-kn", binary / "Packages")
        run("xz", "-k", binary / "Packages")
        release = run("apt-ftparchive", "-o", "APT::FTPArchive::Release::Suite=stable",
                      "-o", "APT::FTPArchive::Release::Codename=stable",
                      "-o", "APT::FTPArchive::Release::Components=main",
                      "-o", "APT::FTPArchive::Release::Architectures=all",
                      "release", self.dist)
        if "Acquire-By-Hash" not in release:
            release = release.replace("Codename:", "Acquire-By-Hash: yes\nCodename:", 1)
        (self.dist / "Release").write_text(release)
        for file in list(binary.iterdir()):
            for name, function in HASHES.items():
                folder = binary / "by-hash" / name
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, folder / function(file.read_bytes()).hexdigest())
        when = time.time() - age
        for file in self.root.rglob("*"):
            if file.is_file() and not (file.parent == self.pool
                                       and file.stat().st_mtime < when):
                os.utime(file, (when, when))

    def __call__(self, exchange):
        """Serves the tree as nginx would."""
        file = self.root / exchange.request.target.lstrip("/")
        if not file.is_file():
            return Reply("not found", 404, self.fields)
        stat = file.stat()
        return Resource(file.read_bytes(), self.fields, etag=f'"{int(stat.st_mtime):x}-{stat.st_size:x}"',
                        modified=http_date(0, stat.st_mtime))(exchange)


class Machine:
    """A machine's apt, in a folder of its own."""

    def __init__(self, folder, origin, proxy):
        self.folder = folder
        for sub in ("etc/apt.conf.d", "etc/preferences.d", "etc/sources.list.d",
                    "etc/trusted.gpg.d", "state/lists/partial", "cache/archives/partial",
                    "log"):
            (folder / sub).mkdir(parents=True)
        (folder / "status").write_text("")
        (folder / "etc/sources.list").write_text(
            f"deb [trusted=yes] {origin.url('/')} stable main\n")
        self.conf = folder / "apt.conf"
        self.conf.write_text(f'''
Dir "{folder}";
Dir::Etc "{folder}/etc";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Log "{folder}/log";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Sandbox::User "root";
Acquire::http::Proxy "{proxy}";
Acquire::Languages "none";
Acquire::Retries "0";
Debug::NoLocking "true";
''')

    def apt(self, *args, check=True):
        env = {"PATH": os.environ["PATH"], "APT_CONFIG": str(self.conf), "LC_ALL": "C"}
        done = subprocess.run(["apt-get", "-q", "-y", *args], env=env, text=True,
                              capture_output=True, stdin=subprocess.DEVNULL,
                              timeout=60 * PATIENCE)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
            assert "Err:" not in done.stdout and "W:" not in done.stderr, \
                done.stdout + done.stderr
        return done

    def update(self):
        return self.apt("update")

    def download(self, *names, **kw):
        return self.apt("install", "--download-only", *names, **kw)

    def archives(self):
        return {f.name: f.read_bytes()
                for f in (self.folder / "cache/archives").glob("*.deb")}


class Office:
    """The repository, its server, larder, and any number of machines."""

    def __init__(self, folder, proxied=True):
        self.folder = folder
        self.repository = Repository(folder)
        self.debs = [self.repository.package("small", "1.0"),
                     self.repository.package("medium", "1.0", 200_000),
                     self.repository.package("big", "1.0", 3_000_000)]
        self.repository.publish(WEEK)
        self.origin = Origin()
        self.origin.default = self.repository
        self.larder = Larder() if proxied else None
        self.count = 0

    def machine(self):
        self.count += 1
        folder = self.folder / f"machine{self.count}"
        return Machine(folder, self.origin, self.larder.url if self.larder else "DIRECT")

    def asked(self, part):
        """How often the origin was asked for something below `part`, and sent it."""
        return [r.target for r in self.origin.requests if part in r.target]


@pytest.fixture
def office(tmp_path):
    made = Office(tmp_path)
    yield made
    made.origin.stop()
    made.larder.close()


def test_the_repository_itself(tmp_path):
    """Without larder: what the other tests stand on."""
    office = Office(tmp_path, proxied=False)
    machine = office.machine()
    machine.update()
    machine.download("small", "medium", "big")
    assert set(machine.archives()) == {d.name for d in office.debs}
    assert any("/by-hash/" in r.target for r in office.origin.requests)
    office.origin.stop()


def test_second_machine_fetches_nothing_from_the_pool(office):
    first, second = office.machine(), office.machine()
    want = {d.name: d.read_bytes() for d in office.debs}
    first.update()
    first.download("small", "medium", "big")
    assert first.archives() == want
    assert len(office.asked("/pool/")) == 3
    indices = office.asked("/by-hash/")
    second.update()
    second.download("small", "medium", "big")
    assert second.archives() == want
    assert len(office.asked("/pool/")) == 3
    # apt asks for indices with max-age=0: revalidated, not transferred again
    for again in [r for r in office.origin.requests if "/by-hash/" in r.target][len(indices):]:
        assert "If-None-Match" in again
    for deb in office.debs:
        entries = office.larder.access(office.origin.url(f"/pool/{deb.name}"), 2)
        assert entries[0].result == "TCP_MISS"
        assert entries[1].result in ("TCP_HIT", "TCP_MEM_HIT")


def test_repository_changes(office):
    """The next update sees the new version, also from a machine that is new."""
    first = office.machine()
    first.update()
    first.download("small")
    office.repository.package("small", "2.0")
    office.repository.publish(WEEK // 2)
    for machine in (first, office.machine()):
        machine.update()
        machine.download("small")
        assert "small_2.0_all.deb" in machine.archives()


def test_same_name_new_bytes(office):
    """A rebuilt package under its old name (FIELD: ntopng#1489): no Hash Sum
    mismatch once the indices say so and the mirror's time has come."""
    first = office.machine()
    first.update()
    first.download("small")
    shutil.rmtree(office.repository.work / "small_1.0")
    office.debs[0].unlink()
    deb = office.repository.package("small", "1.0", 5000)
    office.repository.publish(WEEK // 2)
    second = office.machine()
    second.update()
    done = second.download("small", check=False)
    if done.returncode:  # heuristically fresh: apt's own retry must end it
        office.larder.ctl("purge", office.origin.url(f"/pool/{deb.name}"), check=0)
        second.download("small")
    assert second.archives()[deb.name] == deb.read_bytes()


def test_origin_down(office):
    """What is cached and fresh still installs."""
    first, second = office.machine(), office.machine()
    first.update()
    first.download("small", "big")
    second.update()
    office.origin.stop()
    second.download("small", "big")
    assert second.archives() == first.archives()
    assert second.download("medium", check=False).returncode != 0


@pytest.mark.parametrize("lifetime", [600, 1], ids=["fresh", "stale"])
def test_new_machine_while_origin_is_down(office, lifetime):
    """Its update and its install of what is cached work (RFC 5861 4), though
    apt asks for indices with max-age=0. Here there is no InRelease: that it is
    not there is cached, too."""
    office.repository.fields = {"Cache-Control": f"max-age={lifetime}"}
    first, second = office.machine(), office.machine()
    first.update()
    first.download("small", "big")
    office.origin.stop()
    time.sleep(2 if lifetime == 1 else 0)
    done = second.update()
    assert "Get:" in done.stdout
    second.download("small", "big")
    assert second.archives() == first.archives()
    # and once more on the machine that had them
    first.update()
    assert second.download("medium", check=False).returncode != 0


def test_restart_between(office):
    first, second = office.machine(), office.machine()
    first.update()
    first.download("small", "medium", "big")
    office.larder.restart()
    second.update()
    second.download("small", "medium", "big")
    assert second.archives() == first.archives()
    assert len(office.asked("/pool/")) == 3


def test_two_machines_at_once(office):
    """Both begin together: one fetch of every file."""
    machines = [office.machine() for _ in range(3)]
    for machine in machines:
        machine.update()
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    running = [subprocess.Popen(
        ["apt-get", "-q", "-y", "install", "--download-only", "small", "medium", "big"],
        env={**env, "APT_CONFIG": str(m.conf)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for m in machines]
    for process in running:
        _, err = process.communicate(timeout=60 * PATIENCE)
        assert process.returncode == 0, err
    assert len(office.asked("/pool/")) == 3
    for machine in machines:
        assert machine.archives() == machines[0].archives()


def test_interrupted_download_is_resumed(office):
    """apt has a part of big.deb already and asks for the rest (Range, If-Range)."""
    machine = office.machine()
    machine.update()
    deb = office.debs[2]
    partial = machine.folder / "cache/archives/partial" / deb.name
    partial.write_bytes(deb.read_bytes()[:1_000_000])
    when = deb.stat().st_mtime
    os.utime(partial, (when, when))
    machine.download("big")
    assert machine.archives()[deb.name] == deb.read_bytes()


def test_aborted_transfer_is_not_a_package(office):
    """The mirror breaks off midway: apt says so, and the next try is whole."""
    machine = office.machine()
    machine.update()
    deb = office.debs[2]
    path = f"/pool/{deb.name}"
    office.origin.on(path, Reply(deb.read_bytes(), cut=500_000))
    machine.download("big", check=False)
    del office.origin.handlers[path]
    machine.download("big")
    assert machine.archives()[deb.name] == deb.read_bytes()


def test_update_twice_transfers_nothing(office):
    """The second update is answered by 304s: apt's `Hit:`."""
    machine = office.machine()
    machine.update()
    assert "Hit:" in machine.update().stdout


def test_acng_style_path_is_told_apart(office):
    """A mirror in origin form, as apt-cacher-ng's users write it
    (http://proxy/host/path), is not larder's: 400 with help, not 404."""
    answer = office.larder.get(f"/{office.origin.authority}/dists/stable/Release",
                               host=f"127.0.0.1:{office.larder.port}")
    assert answer.status == 400 and "proxy" in answer.text.lower()


def test_nothing_is_left_growing(office):
    """The store lists what apt fetched."""
    machine = office.machine()
    machine.update()
    machine.download("small")
    text = wait_for(lambda: office.larder.ctl("ls", "*/pool/*", check=0).stdout)
    assert pathlib.Path(office.debs[0]).name in text
