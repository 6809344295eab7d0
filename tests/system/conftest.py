"""Fixtures. Modules share one daemon and one origin where isolation allows;
every test has a path of its own."""
import os
import pathlib
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness import daemon  # noqa: E402
from harness.daemon import Larder  # noqa: E402
from harness.origin import Origin  # noqa: E402
from harness.tls import Authority  # noqa: E402


def pytest_configure(config):
    if not os.access(daemon.LARDERD, os.X_OK) and not config.option.collectonly:
        pytest.exit(f"no {daemon.LARDERD}: make builds it", 2)


def pytest_report_header():
    return f"larderd: {daemon.LARDERD}, patience {daemon.PATIENCE}"


@pytest.fixture(scope="module")
def origin():
    server = Origin()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def larder(origin):
    """The module's daemon: forward for all of loopback, and a site for any
    other Host that leads to the module's origin."""
    instance = Larder(sites={"*": origin.url("")})
    yield instance
    instance.close()


@pytest.fixture
def make(origin):
    """Makes daemons of the test's own; checked and removed at its end."""
    made = []

    def make_one(*args, **kw):
        made.append(Larder(*args, **kw))
        return made[-1]
    yield make_one
    failed = []
    for instance in made:
        try:
            instance.close()
        except AssertionError as e:
            failed.append(str(e))
    assert not failed, "\n".join(failed)


@pytest.fixture
def path(request):
    """A path that no other test uses."""
    name = request.node.name.replace("[", "/").replace("]", "")
    return "/" + "".join(c if c.isalnum() or c in "/_.-" else "-" for c in name)


@pytest.fixture(scope="session")
def authority():
    with tempfile.TemporaryDirectory(prefix="larder-ca-") as folder:
        yield Authority(folder)
