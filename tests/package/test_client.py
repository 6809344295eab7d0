"""larder-client's search for a proxy, in a network and an /etc of its own."""
import json
import os
import pathlib
import subprocess
import time

import pytest

from conftest import ROOT
from debian_root import PATIENCE, wait_for

DETECT = ROOT / "packaging/client/detect"
HERE = pathlib.Path(__file__).parent
FOUND = "http://127.0.0.1:3142/"
#: A search that finds nothing ends after 0.75 s; the rest is for starting perl on a busy machine.
SECOND = 1.25 * PATIENCE


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Namespaces with loopback alone, which carries multicast."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for a network of its own")
    folder = tmp_path_factory.mktemp("etc")
    for name in ("upper", "work"):
        (folder / name).mkdir()
    script = f"""set -e
        mount -t overlay overlay -o lowerdir=/etc,upperdir={folder}/upper,workdir={folder}/work /etc
        ip link set lo up multicast on
        ip route add 224.0.0.0/4 dev lo
        echo 'search office.test' > /etc/resolv.conf
        echo 'nameserver 127.0.0.1' >> /etc/resolv.conf
        echo ready
        exec sleep infinity"""
    holder = subprocess.Popen(["unshare", "-n", "-m", "sh", "-c", script], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if holder.stdout.readline() != "ready\n":
        pytest.skip("no namespaces to be had here: " + holder.stderr.read())
    yield ["nsenter", "-t", str(holder.pid), "-n", "-m"]
    holder.kill()
    holder.wait()


@pytest.fixture
def search(network):
    """search(configured, url, **what the network has): what it prints, and the seconds."""
    running = []

    def run(configured="", url="http://deb.debian.org/debian/dists/x", **what):
        subprocess.run([*network, "sh", "-c", 'printf "LARDER=\\"%s\\"\\n" "$1" > '
                        '/etc/default/larder-client', "sh", configured], check=True)
        server = subprocess.Popen([*network, "python3", HERE / "announcer.py", json.dumps(what)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        running.append(server)
        assert server.stdout.readline() == "ready\n"
        start = time.monotonic()
        done = subprocess.run([*network, DETECT, url], text=True, capture_output=True,
                              timeout=20 * PATIENCE)
        took = time.monotonic() - start
        server.stdin.close()
        server.wait(10 * PATIENCE)
        assert done.returncode == 0
        assert done.stdout.endswith("\n") and done.stdout.count("\n") == 1
        return done.stdout.strip(), took
    yield run
    for server in running:
        if server.poll() is None:
            server.kill()
            server.wait()


@pytest.mark.parametrize("name, found", [
    ("127.0.0.1", FOUND), ("127.0.0.1:3142", FOUND), ("localhost", "http://localhost:3142/")])
def test_configured(search, name, found):
    assert search(name, http="answers")[0] == found


@pytest.mark.parametrize("name", ["127.0.0.1:3143", "no.such.name.test", "none", "a b", "-", "x:0",
                                  "x:99999", "http://127.0.0.1:3142/"])
@pytest.mark.root
def test_configured_and_of_no_use(search, name):
    said, took = search(name, http="answers", dns="nothing")
    assert said == "DIRECT"
    assert took < SECOND


@pytest.mark.parametrize("how", ["silent", "noise"])
@pytest.mark.root
def test_configured_and_does_not_answer(search, how):
    said, took = search("127.0.0.1", http=how)
    assert said == "DIRECT" and took < SECOND


def test_the_configured_one_and_no_other(search):
    """A name that the admin has given is not replaced by what the network says."""
    assert search("127.0.0.1:3143", http="answers", dns="srv", mdns="srv")[0] == "DIRECT"


def test_by_dns(search):
    assert search(http="answers", dns="srv")[0] == FOUND


def test_by_mdns(search):
    assert search(http="answers", dns="refuses", mdns="srv")[0] == FOUND


def test_by_mdns_when_the_dns_is_silent(search):
    said, took = search(http="answers", dns="nothing", mdns="srv")
    assert said == FOUND and took < SECOND


@pytest.mark.root
def test_announced_and_does_not_answer(search):
    for http in ("silent", "noise"):
        said, took = search(http=http, dns="srv", mdns="srv")
        assert said == "DIRECT" and took < SECOND


@pytest.mark.parametrize("dns, mdns", [("nothing", "nothing"), ("refuses", "nothing"),
                                       ("refuses", "refuses")])
def test_nobody_there(search, dns, mdns):
    said, took = search(dns=dns, mdns=mdns)
    assert said == "DIRECT" and took < SECOND


@pytest.mark.root
def test_no_network_service_at_all(search):
    said, took = search()
    assert said == "DIRECT" and took < SECOND


@pytest.mark.parametrize("url", ["https://deb.debian.org/", "cdrom:x", "file:/x", ""])
@pytest.mark.root
def test_what_no_cache_can_help_with(search, url):
    said, took = search("127.0.0.1", url=url, http="answers")
    assert said == "DIRECT"


HOSTILE = {
    "nothing more": "8400",
    "counts without records": "8400000100ff00ff00ff",
    "a name that points at itself": "84000000000100000000c00c0021000100000001000a",
    "two names that point at each other": "84000000000100000000c00ec00c00210001",
    "a label beyond the end": "840000000001000000003f41",
    "a host with a line feed": "84000000000100000000" + "00" + "0021" + "0001" + "0000003c"
    + "000b" + "000000000c46" + "03610a62" + "00",
    "data beyond the end": "84000000000100000000" + "00" + "0021" + "0001" + "0000003c" + "ffff",
    "a reserved label": "84000000000100000000" + "80" + "00" * 20,
    "sixty thousand questions": "8400ea600000" + "0000" * 8,
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.root
def test_hostile_answers(search, what):
    said, took = search(http="answers", dns=HOSTILE[what], mdns=HOSTILE[what])
    assert said == "DIRECT" and took < SECOND
