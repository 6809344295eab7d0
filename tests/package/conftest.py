"""The packages under test, and Debian roots to try them in.

`make deb` runs once a session. The roots are made with debootstrap, from the
archive that this machine's apt has, and kept in build/root; each test gets an
overlay over them."""
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import debian_root  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pytest_addoption(parser):
    parser.addoption("--root", action="store_true",
                     help="the tests in a Debian root, too (minutes)")


def pytest_collection_modifyitems(config, items):
    if config.option.root:
        return
    chosen = [item for item in items if not item.get_closest_marker("root")]
    config.hook.pytest_deselected(items=[i for i in items if i not in chosen])
    items[:] = chosen


def build(anew=False):
    """`make deb`: {package's name: file}. LARDER_DEBS names a folder that has them already."""
    ready = os.environ.get("LARDER_DEBS")
    if ready and not anew:
        return {f.name.split("_")[0]: f for f in pathlib.Path(ready).resolve().glob("*.deb")}
    done = subprocess.run(["make", "-s", "deb"], cwd=ROOT, text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1200)
    assert done.returncode == 0, done.stdout[-8000:]
    files = [ROOT / line for line in done.stdout.split() if line.endswith(".deb")]
    return {file.name.split("_")[0]: file for file in files}


@pytest.fixture(scope="session")
def debs():
    return build()


@pytest.fixture
def larder_deb(debs):
    return debs["larder"]


@pytest.fixture
def unpacked(larder_deb, tmp_path):
    """What is in larder's package, as files."""
    folder = tmp_path / "unpacked"
    subprocess.run(["dpkg-deb", "-x", larder_deb, folder], check=True)
    return folder


@pytest.fixture(scope="session")
def base():
    if os.geteuid() != 0:
        pytest.skip("needs root, for debootstrap and chroot")
    return debian_root.base(ROOT / "build/root")


@pytest.fixture
def root(base):
    """A fresh Debian that does not run."""
    made = debian_root.Root(base)
    yield made
    made.close()
