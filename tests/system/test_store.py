"""A store that cannot be used: each case its own clear message, and nothing is
deleted that was not asked for."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from harness.daemon import LARDERD, ROOT as REPOSITORY, Larder, free_port, sanitized, wait_for
from harness.origin import Reply, pattern

FRESH = {"Cache-Control": "max-age=600"}
ROOT = os.geteuid() == 0
NOBODY = 65534


def listing(folder):
    return sorted((str(p.relative_to(folder)), p.stat().st_size)
                  for p in pathlib.Path(folder).rglob("*") if p.is_file())


def refuses(larder, *words):
    """The daemon must end with status 1 and say why."""
    larder.spawn()
    status = larder.process.wait(20)
    said = larder.messages()
    assert status == 1, f"ended with {status}:\n{said}"
    for word in words:
        assert any(w in said.lower() for w in word.split("|")), f"{word}:\n{said}"
    return said


def test_second_daemon(make, origin, path):
    first = make()
    url = origin.on(path, Reply("x", fields=FRESH))
    first.get(url)
    second = make({"cache": {"path": str(first.cache)}}, start=False)
    refuses(second, str(first.cache).lower(), "use|lock|another")
    assert first.get(url).hit, "the first is not disturbed"


def test_second_daemon_on_the_same_admin_socket(make):
    """The running daemon's socket must not be taken away from it."""
    first = make()
    second = make({"admin_socket": str(first.socket)}, start=False)
    refuses(second, str(first.socket).lower())
    assert first.ctl("ping").returncode == 0


def test_stale_admin_socket_is_no_obstacle(make):
    """After a kill -9 its socket is still there."""
    larder = make()
    larder.kill()
    assert larder.socket.exists()
    larder.start()
    larder.ctl("ping", check=0)


def test_port_in_use(make):
    import socket
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        larder = make({"listen": [f"127.0.0.1:{port}"]}, start=False)
        refuses(larder, str(port), "in use")


def test_folder_that_is_a_file(make):
    larder = make(start=False)
    larder.cache.write_text("precious")
    refuses(larder, str(larder.cache).lower())
    assert larder.cache.read_text() == "precious"


def test_folder_of_somebody_else(make):
    """A folder with other things in it: nothing in it may be lost."""
    larder = make(start=False)
    larder.cache.mkdir()
    (larder.cache / "thesis.tex").write_text("precious")
    larder.spawn()
    try:
        wait_for(lambda: larder.process.poll() is not None or larder.accepts(), 10)
    except AssertionError:
        pass
    if larder.process.poll() is None:
        larder.ctl("purge", "--all")
        larder.ctl("gc")
        assert larder.stop() == 0
    else:
        larder.process.wait()
    assert (larder.cache / "thesis.tex").read_text() == "precious"


@pytest.fixture
def nobody():
    """A folder that an ordinary user may enter, with the daemon in it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="larder-nobody-"))
    folder.chmod(0o755)
    binary = folder / "larderd"
    shutil.copy(LARDERD, binary)
    binary.chmod(0o755)
    yield folder, binary
    shutil.rmtree(folder)


@pytest.mark.skipif(not ROOT, reason="needs root to become another user")
def test_folder_without_permission(nobody):
    folder, binary = nobody
    home = folder / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    larder = Larder(folder=home, start=False, user=NOBODY, binary=binary)
    larder.cache.mkdir(mode=0o700)  # root's
    os.chown(larder.conf, NOBODY, NOBODY)
    refuses(larder, str(larder.cache).lower(), "permission|denied")


@pytest.mark.skipif(not ROOT, reason="needs root to become another user")
def test_runs_as_an_ordinary_user(nobody, origin, path):
    folder, binary = nobody
    home = folder / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    larder = Larder(folder=home, start=False, user=NOBODY, binary=binary)
    try:
        larder.start()
        url = origin.on(path, Reply("x", fields=FRESH))
        larder.get(url)
        assert larder.get(url).hit
    finally:
        larder.close()


def test_missing_parent_folder(make):
    larder = make({"cache": {"path": "/nonexistent/larder/cache"}}, start=False)
    refuses(larder, "/nonexistent/larder/cache")


def test_another_format_version(make, origin, path):
    """Told as such, with what to do; the bytes stay as they are."""
    larder = make()
    larder.get(origin.on(path, Reply(pattern(10_000), fields=FRESH)))
    assert larder.stop() == 0
    # The superblock says it in text (the tables at the top of object.c).
    superblock = larder.cache / "larder.store"
    data = superblock.read_bytes()
    assert data.startswith(b"larder store, format "), data[:40]
    superblock.write_bytes(data.replace(b"format 3", b"format 9"))
    before = listing(larder.cache)
    refuses(larder, str(larder.cache).lower(), "format|version")
    assert [e for e in listing(larder.cache) if "lock" not in e[0]] == \
        [e for e in before if "lock" not in e[0]], "something was deleted"
    superblock.write_bytes(data)
    larder.start()
    assert larder.get(origin.url(path)).hit, "and it still works"


def test_garbage_for_a_catalog(make, origin, path):
    """A damaged index: a message, exit 1 or a fresh start, but no crash and no
    wrong bytes."""
    larder = make()
    url = origin.on(path, Reply("x" * 1000, fields=FRESH))
    larder.get(url)
    assert larder.stop() == 0
    files = [f for f in larder.cache.rglob("*.mdb") if "lock" not in f.name]
    assert files, listing(larder.cache)
    for file in files:
        size = file.stat().st_size
        file.write_bytes(pattern(size))
    larder.spawn()
    try:
        wait_for(lambda: larder.process.poll() is not None or larder.accepts(), 10)
    except AssertionError:
        pass
    if larder.process.poll() is None:
        assert larder.get(url).body == b"x" * 1000
    else:
        assert larder.process.returncode == 1, larder.messages()
        assert str(larder.cache) in larder.messages()


@pytest.fixture
def small_disk():
    """A file system of 48 MiB."""
    if not ROOT:
        pytest.skip("needs root to mount a small file system")
    folder = tempfile.mkdtemp(prefix="larder-disk-")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "larder-test", folder],
                          capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        os.rmdir(folder)
        pytest.skip(f"cannot mount: {done.stderr!r}")
    yield pathlib.Path(folder)
    subprocess.run(["umount", "-l", folder], check=True, stdin=subprocess.DEVNULL)
    os.rmdir(folder)


@pytest.mark.parametrize("size", [30_000, 3_000_000])
def test_full_disk(make, small_disk, origin, path, size):
    """The budget is larger than the disk: responses stream through uncached and
    nobody notices; the daemon lives, and what is stored still hits."""
    larder = make({"workers": 1, "cache": {"path": str(small_disk / "cache"), "size": "4G"}})
    larder.cache = small_disk / "cache"
    first = origin.on(path + "/first", Reply("first", fields=FRESH))
    larder.get(first)
    with larder.client(timeout=60) as client:
        for i in range(100_000_000 // size):
            at, body = f"{path}/{i}", pattern(size, i)
            origin.on(at, Reply(body, fields=FRESH))
            answer = client.get(origin.url(at))
            assert (answer.status, answer.body) == (200, body)
            del origin.handlers[at]
    assert larder.process.poll() is None
    assert larder.get(first).body == b"first"
    larder.ctl("stats", check=0)
    # Room again: it stores again.
    larder.ctl("purge", "--all", check=0)
    again = origin.on(path + "/again", Reply("again", fields=FRESH))

    def stores():
        larder.get(again)
        return larder.get(again).hit
    wait_for(stores, 8, 0.3, "a hit after room was made")
    assert larder.stop() == 0


def test_disk_filled_by_others(make, small_disk, origin, path):
    """Not larder's fault, and not its end."""
    larder = make({"workers": 1, "cache": {"path": str(small_disk / "cache"), "size": "40M"}})
    larder.cache = small_disk / "cache"
    kept = origin.on(path + "/kept", Reply("kept", fields=FRESH))
    larder.get(kept)
    wait_for(lambda: larder.get(kept).hit)
    filler = small_disk / "filler"
    with open(filler, "wb") as f:
        try:
            while True:
                f.write(b"\0" * 65536)
                f.flush()
        except OSError:
            pass
    for size in (1000, 500_000, 3_000_000):
        url = origin.on(f"{path}/{size}", Reply(pattern(size), fields=FRESH))
        assert larder.get(url).body == pattern(size)
    assert larder.get(kept).body == b"kept"
    filler.unlink()

    def stores():
        url = origin.on(f"{path}/after", Reply("after", fields=FRESH))
        larder.get(url)
        return larder.get(url).hit
    wait_for(stores, 8, 0.3, "a hit after room was made")
    larder.restart()
    assert larder.get(kept).body == b"kept"


def test_first_start_makes_the_folder(make):
    larder = make()
    assert larder.cache.is_dir()
    assert larder.cache.stat().st_mode & 0o007 == 0, "others may not look in"


def test_all_of_it_goes_when_the_package_is_purged(make, origin, path):
    """What postrm takes away is what larder has put there."""
    larder = make()
    for size in (1000, 500_000):
        larder.get(origin.on(f"{path}/{size}", Reply(pattern(size), fields=FRESH)))
    larder.ctl("gc", check=0)
    assert larder.stop() == 0
    (larder.cache / "keep").write_text("not larder's")
    script = (REPOSITORY / "packaging/debian/larder.postrm").read_text()
    function = script[script.index("remove_cache() {"):script.index("\n}\n") + 3]
    subprocess.run(["sh", "-ec", f'{function}\nremove_cache "$1"', "sh", larder.cache],
                   check=True, stdin=subprocess.DEVNULL)
    assert os.listdir(larder.cache) == ["keep"]


def test_folder_that_is_taken_away(make, origin, path):
    """It goes on, says so, and ends when it is asked to."""
    larder = make()
    larder.get(origin.on(path, Reply("x", fields=FRESH)))
    larder.ctl("gc", check=0)  # or it may make a file meanwhile
    shutil.rmtree(larder.cache)
    assert larder.get(origin.on(f"{path}/other", Reply("y", fields=FRESH))).body == b"y"
    wait_for(lambda: "cannot write to the cache folder" in larder.messages())
    assert larder.stop(within=60) == 0


@pytest.mark.parametrize("hits", (0, 1))
def test_folder_that_is_taken_away_at_the_end(make, origin, path, hits):
    """Nothing but the counters is left to be written."""
    larder = make()
    url = origin.on(path, Reply("x", fields=FRESH))
    larder.get(url)
    larder.ctl("gc", check=0)
    shutil.rmtree(larder.cache)
    for _ in range(hits):
        assert larder.get(url).hit
    assert larder.stop(within=60) == 0


@pytest.mark.skipif(sanitized(), reason="a sanitizer needs all addresses there are")
def test_few_addresses(make, origin, path):
    """As under a container's limit, or on a small processor."""
    larder = make(start=False)
    script = larder.folder / "limited"
    script.write_text(f'#!/bin/sh\nulimit -v {24 << 20}\nexec {larder.binary} "$@"\n')
    script.chmod(0o755)
    larder.binary = script
    larder.start()
    url = origin.on(path, Reply("x", fields=FRESH))
    larder.get(url)
    assert larder.get(url).hit
