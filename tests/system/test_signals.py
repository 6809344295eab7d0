"""SIGTERM drains, SIGHUP reloads, SIGUSR1 reopens the log."""
import signal
import socket
import threading
import time

import pytest

from harness.client import Aborted
from harness.daemon import PATIENCE, wait_for
from harness.origin import Reply, pattern


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stops_cleanly(make, number):
    larder = make()
    start = time.monotonic()
    larder.signal(number)
    assert larder.wait() == 0
    assert time.monotonic() - start < 3 * PATIENCE
    assert not larder.socket.exists(), "the admin socket is removed"


def test_drain_finishes_what_is_in_flight(make, origin, path):
    larder = make()
    body = pattern(2_000_000)
    url = origin.on(path, Reply(body, pace=(200_000, 0.25),
                                fields={"Cache-Control": "max-age=60"}))
    result = []

    def download():
        with larder.client() as client:
            client.send_head("GET", url)
            head = client.final_head()
            begun.set()
            result.append(b"".join(client.body(head, "GET")))
    begun = threading.Event()
    thread = threading.Thread(target=download)
    thread.start()
    assert begun.wait(5 * PATIENCE)
    idle = larder.client()
    assert idle.get(origin.url(path + "/2")).status == 404
    larder.signal(signal.SIGTERM)
    time.sleep(0.5)
    with pytest.raises(OSError):
        socket.create_connection(larder.address, 1).close()
    assert idle.closed(3 * PATIENCE), f"an idle connection is waited for: {idle.buffer}"
    thread.join(15 * PATIENCE)
    assert result == [body]
    assert larder.wait() == 0
    larder.start()
    assert larder.get(url).hit, "what finished while draining is stored"


def test_drain_has_an_end(make, origin, path):
    larder = make({"timeouts": {"drain": "1s", "response": "60s"}})
    url = origin.on(path, Reply(b"x" * 1_000_000, pace=(1000, 0.5)))
    with larder.client() as client:
        client.send_head("GET", url)
        head = client.final_head()
        start = time.monotonic()
        larder.signal(signal.SIGTERM)
        with pytest.raises(Aborted):
            b"".join(client.body(head, "GET"))
        assert larder.wait(8) == 0
        assert time.monotonic() - start < 5 * PATIENCE


def test_keep_alive_client_is_told_to_close_while_draining(make, origin, path):
    larder = make()
    url = origin.on(path, Reply("x", delay=1))
    with larder.client() as client:
        client.send_head("GET", url)
        wait_for(lambda: origin.count(path), what="the request")
        larder.signal(signal.SIGTERM)
        answer = client.response()
        assert answer.body == b"x"
        assert client.closed(3 * PATIENCE)
    assert larder.wait() == 0


def test_sighup_takes_the_new_configuration(make, origin, path):
    larder = make()
    origin.on(path, Reply("site"))
    assert larder.get(path, host="new.test").status == 400
    larder.sites["new.test"] = origin.url("")
    larder.write_conf()
    larder.signal(signal.SIGHUP)
    wait_for(lambda: larder.get(path, host="new.test").status == 200, what="the new site")


def test_sighup_keeps_the_cache_and_the_connections(make, origin, path):
    larder = make()
    url = origin.on(path, Reply("x", fields={"Cache-Control": "max-age=60"}))
    with larder.client() as client:
        client.get(url)
        larder.signal(signal.SIGHUP)
        time.sleep(0.5)
        assert client.get(url).hit


def test_sighup_with_a_mistake_keeps_the_old(make, origin, path):
    larder = make(sites={"old.test": origin.url("")})
    origin.on(path, Reply("x"))
    larder.conf.write_text(larder.text() + "\nsite \"half.test\" { origin = \""
                           + origin.url("") + "\" }\nsizze = 3\n")
    line = len(larder.conf.read_text().splitlines())
    larder.signal(signal.SIGHUP)
    wait_for(lambda: "sizze" in larder.messages(), what="a message")
    assert f"{larder.conf}:{line}" in larder.messages()
    assert larder.get(path, host="old.test").status == 200
    assert larder.get(path, host="half.test").status == 400, "never half of it"


def test_sighup_changes_access(make, origin, path):
    larder = make()
    url = origin.on(path, Reply("x"))
    assert larder.get(url).status == 200
    larder.options["access"]["clients"] = ["10.0.0.0/8"]
    larder.write_conf()
    larder.signal(signal.SIGHUP)
    wait_for(lambda: larder.get(url).status == 403, what="the new rule")


def test_sighup_a_hundred_times(make, origin, path):
    """Under load; no request fails for it."""
    larder = make()
    url = origin.on(path, Reply("x", fields={"Cache-Control": "max-age=60"}))
    with larder.client() as client:
        for _ in range(100):
            larder.signal(signal.SIGHUP)
            assert client.get(url).body == b"x"
    assert larder.get(url).body == b"x"


def test_sigusr1_reopens_the_log(make, origin, path):
    larder = make()
    first = origin.on(path + "/first", Reply("x"))
    second = origin.on(path + "/second", Reply("x"))
    larder.get(first)
    larder.access(first)
    moved = larder.log.with_suffix(".1")
    larder.log.rename(moved)
    larder.signal(signal.SIGUSR1)
    wait_for(larder.log.exists, what="the new log")
    larder.get(second)
    assert len(larder.access(second)) == 1
    assert second not in moved.read_text()


def test_sigpipe_and_friends_do_not_end_it(make, origin, path):
    larder = make()
    larder.signal(signal.SIGPIPE)
    time.sleep(0.3)
    assert larder.get(origin.on(path, Reply("x"))).body == b"x"


def test_log_is_written_by_the_end(make, origin, path):
    """A line for every request, also for those right before the stop."""
    larder = make()
    urls = [origin.on(f"{path}/{i}", Reply("x")) for i in range(50)]
    for url in urls:
        larder.get(url)
    assert larder.stop() == 0
    log = larder.log.read_text()
    assert all(f" {url} " in log for url in urls)


def test_no_access_log(make, origin, path):
    """CONTRACT: "" means none."""
    larder = make({"access_log": ""})
    assert larder.get(origin.on(path, Reply("x"))).body == b"x"
    assert not larder.log.exists()


@pytest.mark.parametrize("format", ["combined", "json"])
def test_log_formats(make, origin, path, format):
    import json
    import re
    larder = make({"access_log_format": format})
    url = origin.on(path, Reply(b"x" * 100))
    larder.get(url, {"User-Agent": 'odd "agent"\x7f'.replace("\x7f", ""),
                     "Referer": "http://r.test/"})
    wait_for(lambda: larder.log.exists() and larder.log.read_text().endswith("\n"),
             what="a line")
    line = larder.log.read_text().splitlines()[0]
    if format == "json":
        entry = json.loads(line)
        assert url in entry.values() and 200 in entry.values()
    else:
        assert re.match(r'127\.0\.0\.1 - - \[[^]]+\] "GET \S+ HTTP/1\.1" 200 \d+ '
                        r'"http://r\.test/" "odd .*agent.*"', line), line
