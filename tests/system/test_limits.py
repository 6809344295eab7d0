"""The limits that the configuration names: how large a request's head may be,
how many connections there may be, and how many of them one client's."""
import json
import os
import signal
import stat
import threading
import time

import pytest

from harness.client import Aborted, Client
from harness.daemon import LARDERD, PATIENCE, larderd, wait_for
from harness.origin import Reply


def counters(larder):
    return json.loads(larder.ctl("--json", "stats", check=0).stdout)["since_start"]


def nobody_is_in(larder):
    """The harness has looked whether larderd accepts: that one is gone, too."""
    def quiet():
        said = json.loads(larder.ctl("--json", "stats", check=0).stdout)
        return said["since_start"]["connections"] > 0 and said["connections_open"] == 0
    wait_for(quiet, what="no connection to be open")
    return larder


def descriptors(larder):
    return len(os.listdir(f"/proc/{larder.pid}/fd"))


def reload(larder, **limits):
    larder.options["limits"].update(limits)
    larder.write_conf()
    larder.signal(signal.SIGHUP)


def held(origin, path):
    """A resource that is answered when the event is set."""
    event = threading.Event()

    def answer(x):
        event.wait(30 * PATIENCE)
        return Reply("late", fields={"Cache-Control": "no-store"})
    return origin.on(path, answer), event


def ask(larder, url, count):
    """So many requests on connections of their own, each at the origin."""
    clients = [larder.client() for _ in range(count)]
    for i, client in enumerate(clients):
        client.send_head("GET", f"{url}?{i}")
    return clients


def close(clients):
    for client in clients:
        client.close()


# ---- the head of a request ---------------------------------------------------

HEADS = {
    "request_line": (414, lambda n: (f"/{'a' * (n - 100)}", []), "1K", 1024),
    "field": (431, lambda n: ("/", [("A", "a" * (n - 3))]), "1K", 1024),
    "head": (431, lambda n: ("/", [(f"A{i}", "a" * 500) for i in range(n // 500)]),
             "4K", 4096),
    "fields": (431, lambda n: ("/", [(f"A{i}", "a") for i in range(n - 1)]), 8, 8),
}


@pytest.mark.parametrize("name", HEADS)
def test_head(make, origin, path, name):
    status, build, value, size = HEADS[name]
    larder = make({"limits": {name: value}}, sites={"*": origin.url("")})
    origin.default = Reply("here")
    target, fields = build(size)
    over, more = build(size + 600 if name != "fields" else size + 1)
    if name == "head":
        fields.pop()
    assert larder.get(target, fields).status == 200
    answer = larder.get(over, more)
    assert answer.status == status
    assert answer.get("Connection") == "close"
    reload(larder, **{name: 100 if name == "fields" else "100K"})
    wait_for(lambda: larder.get(over, more).status == 200, 3, 0.1, "the new limit")


def test_printed(make):
    larder = make({"limits": {"request_line": "9K"}}, start=False)
    said = larderd("-n", "-c", larder.conf).stdout
    section = said[said.index("limits {"):]
    for line in ("request_line = \"9K\"", "field = \"32K\"", "head = \"64K\"",
                 "fields = 200", "max_connections = 8192", "client_share = 25"):
        assert line in section


# ---- connections -------------------------------------------------------------

def test_share_of_one_client(make, origin, path):
    larder = nobody_is_in(make({"limits": {"max_connections": 40, "client_share": 25}}))
    url = origin.on(path, Reply("hello"))
    clients = [larder.client() for _ in range(10)]
    # Each is in, whichever worker accepts it.
    assert all(c.get(url).status == 200 for c in clients)
    answer = larder.get(url)
    assert (answer.status, answer.get("Retry-After")) == (429, "5")
    assert answer.get("Connection") == "close"
    assert "limits.client_share" in answer.text
    # Another address is another client.
    with larder.client(source="127.0.0.9") as other:
        assert other.get(url).status == 200
    # Those that are in go on.
    assert all(c.get(url).status == 200 for c in clients)
    entry = [e for e in larder.access(url, 13) if e.status == 429]
    assert len(entry) == 1 and entry[0].result == "TCP_DENIED"
    assert counters(larder)["refused_share"] == 1
    assert counters(larder)["refused_full"] == 0
    clients.pop().close()
    wait_for(lambda: larder.get(url).status == 200, 3, 0.1, "a place")
    close(clients)


def test_all_places_taken(make, origin, path):
    larder = nobody_is_in(make({"limits": {"max_connections": 8, "client_share": 100}}))
    free = origin.on(path + "/free", Reply("free"))
    url, event = held(origin, path)
    clients = ask(larder, url, 8)
    wait_for(lambda: origin.count(path) == 8, what="8 requests under way")
    answer = larder.get(free)
    assert (answer.status, answer.get("Retry-After")) == (503, "5")
    assert "limits.max_connections" in answer.text
    assert [e.result for e in larder.access(free)] == ["TCP_DENIED"]
    # Who says nothing has its answer soon, too.
    with larder.client() as silent:
        start = time.monotonic()
        assert silent.response().status == 503
        assert time.monotonic() - start < 3 * PATIENCE
        assert silent.closed()
    reload(larder, max_connections=9)
    wait_for(lambda: larder.get(free).status == 200, 3, 0.1, "the new limit")
    assert counters(larder)["refused_full"] >= 2
    event.set()
    assert [c.response().status for c in clients] == [200] * 8
    close(clients)


def test_idle_ones_make_way(make, origin, path):
    larder = nobody_is_in(make({"limits": {"max_connections": 8, "client_share": 100}}))
    url = origin.on(path, Reply("hello"))
    idle = [larder.client() for _ in range(8)]
    for client in idle:
        assert client.get(url).status == 200
    new = [larder.client() for _ in range(4)]
    for client in new:
        assert client.get(url).status == 200
    wait_for(lambda: counters(larder)["given_up"] >= 4, what="4 idle ones to go")
    assert [c.closed(1) for c in idle].count(True) == 4
    assert counters(larder)["given_up"] == 4
    assert counters(larder)["refused_full"] == 0
    close(idle + new)


def test_the_oldest_goes_first(make, origin, path):
    larder = nobody_is_in(make({"workers": 1, "limits": {"max_connections": 8, "client_share": 100}}))
    url = origin.on(path, Reply("hello"))
    idle = [larder.client() for _ in range(8)]
    for client in [*idle[4:], *idle[:4]]:
        assert client.get(url).status == 200
    with larder.client() as new:
        assert new.get(url).status == 200
        assert idle[4].closed(2)
        assert all(c.get(url).status == 200 for c in idle[:4] + idle[5:])
    close(idle)


def test_tunnels_count(make, origin, path):
    larder = nobody_is_in(make({"access": {"connect_ports": [origin.port]},
                                "limits": {"max_connections": 8, "client_share": 100}}))
    url = origin.on(path, Reply("hello"))
    clients = [larder.client() for _ in range(8)]
    for client in clients:
        client.send_head("CONNECT", origin.authority, host=origin.authority)
        assert client.final_head().status == 200
    assert larder.get(url).status == 503
    clients.pop().close()
    wait_for(lambda: larder.get(url).status == 200, 3, 0.1, "the tunnel's place")
    close(clients)


def test_a_flood_of_refused_ones_is_bounded(make, origin, path):
    larder = nobody_is_in(make({"workers": 1, "limits": {"max_connections": 8, "client_share": 100}}))
    url, event = held(origin, path)
    clients = ask(larder, url, 8)
    wait_for(lambda: origin.count(path) == 8, what="8 requests under way")
    before, silent, shut = descriptors(larder), [], 0
    for _ in range(300):
        silent.append(Client(larder.address))
    wait_for(lambda: counters(larder)["refused_full"] >= 300, what="300 refusals")
    assert descriptors(larder) - before <= 64 + 2
    answered = 0
    for client in silent:
        try:
            answered += client.response().status == 503
        except Aborted:
            shut += 1
    assert answered > 0 and answered + shut == 300
    wait_for(lambda: descriptors(larder) <= before + 1, 5, what="the descriptors")
    event.set()
    assert [c.response().status for c in clients] == [200] * 8
    close(clients + silent)


# ---- descriptors ---------------------------------------------------------------

def bounded(folder, limit):
    """larderd with so many descriptors."""
    script = folder / f"larderd-{limit}"
    script.write_text(f"#!/bin/sh\nexec prlimit --nofile={limit}:{limit} {LARDERD} \"$@\"\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


def test_few_descriptors_bound_the_places(make, origin, path, tmp_path):
    larder = nobody_is_in(
        make({"limits": {"client_share": 100}}, binary=bounded(tmp_path, 256)))
    url, event = held(origin, path)
    assert "limits.max_connections is 8192, but the limit on open files, 256, is " \
        "enough for 53" in larder.messages()
    clients = ask(larder, url, 53)
    wait_for(lambda: origin.count(path) == 53, what="53 requests under way")
    assert larder.get(url).status == 503
    event.set()
    assert [c.response().status for c in clients] == [200] * 53
    close(clients)
    wait_for(lambda: larder.get(url).status == 200, 3, 0.1, "places")
    assert counters(larder)["starved"] == 0


def test_without_descriptors_idle_ones_make_way(make, origin, path, tmp_path):
    """Fewer than what is asked for needs: one place, and that is not bound by
    the number of connections alone."""
    larder = make({"workers": 1, "limits": {"client_share": 100}},
                  binary=bounded(tmp_path, 256))
    os.system(f"prlimit --pid {larder.pid} --nofile={descriptors(larder) + 12}")
    url = origin.on(path, Reply("hello", fields={"Cache-Control": "no-store"}))
    idle = []
    for _ in range(30):
        idle.append(larder.client())
        assert idle[-1].get(url).status == 200
    assert larder.get(url).status == 200
    numbers = counters(larder)
    assert numbers["starved"] > 0 and numbers["given_up"] > 10
    assert larder.messages().count("the limit on open files is reached") == 1
    close(idle)
    assert larder.get(url).status == 200
