"""What is counted: by result, host, client and day, over restarts; and what was saved."""
import gzip
import json
import socket
import struct
import threading

from harness.daemon import PATIENCE, sanitized, wait_for
from harness.origin import Reply, pattern

FRESH = {"Cache-Control": "max-age=600"}


def stats(larder, *args):
    return json.loads(larder.ctl("--json", "stats", *args, check=0).stdout)


def total(larder):
    return stats(larder)["total"]


def saved_by(larder, work):
    """By how much the work changes what was saved; all of it must be recorded."""
    before = total(larder)["saved_bytes"]
    work()
    return total(larder)["saved_bytes"] - before


# -- saved -----------------------------------------------------------------
def test_a_miss_saves_nothing_and_a_hit_its_body(make, origin, path):
    larder = make()
    url = origin.on(path, Reply(pattern(50_000), fields=FRESH))
    assert saved_by(larder, lambda: larder.get(url)) == 0
    assert saved_by(larder, lambda: larder.get(url)) == 50_000
    assert saved_by(larder, lambda: larder.request("HEAD", url)) == 0


def test_what_passes_saves_nothing(make, origin, path):
    larder = make()
    url = origin.on(path, Reply(pattern(5000), fields={"Cache-Control": "no-store"}))
    assert saved_by(larder, lambda: larder.get(url)) == 0


def test_a_range_saves_what_is_sent(make, origin, path):
    larder = make()
    url = origin.on(path, Reply(pattern(50_000), fields={**FRESH, "ETag": '"a"'}))
    larder.get(url)
    assert saved_by(larder, lambda: larder.get(url, {"Range": "bytes=100-299"})) == 200


def test_a_304_is_a_cost(make, origin, path):
    larder = make()

    def answer(exchange):
        if "If-None-Match" in exchange.request:
            return Reply(status=304, fields={"ETag": '"a"'}, framing="none")
        return Reply(pattern(1000), fields={"ETag": '"a"', "Cache-Control": "no-cache"})
    url = origin.on(path, answer)
    larder.get(url)
    before = total(larder)
    assert larder.get(url).status == 200
    after = total(larder)
    cost = after["fetched_bytes"] - before["fetched_bytes"]
    assert 50 < cost < 400
    assert after["saved_bytes"] - before["saved_bytes"] == 1000 - cost
    assert after["revalidated"] == 1 and after["revalidated_sent"] > 1000


def test_compression(make, origin, path):
    """What the origin compressed and larder decodes crossed the uplink compressed; what
    larder compresses would have crossed it as it is."""
    larder = make()
    text = b"all work and no play " * 2000
    packed = gzip.compress(text, mtime=0)
    url = origin.on(path + "/packed", Reply(packed, fields={
        **FRESH, "Content-Type": "text/plain", "Content-Encoding": "gzip",
        "Vary": "Accept-Encoding"}))
    identity = {"Accept-Encoding": "identity"}
    assert saved_by(larder, lambda: larder.get(url, identity)) == len(text) - len(packed)
    assert saved_by(larder, lambda: larder.get(url, identity)) == len(text)
    assert saved_by(larder, lambda: larder.get(url, {"Accept-Encoding": "gzip"})) == len(packed)

    url = origin.on(path + "/plain", Reply(text, fields={**FRESH, "Content-Type": "text/plain"}))
    gzipped = {"Accept-Encoding": "gzip"}
    assert saved_by(larder, lambda: larder.get(url, gzipped)) == 0
    answer = larder.get(url, gzipped)
    assert answer.get("Content-Encoding") == "gzip" and len(answer.body) < len(text)
    assert saved_by(larder, lambda: larder.get(url, gzipped)) == len(text)


def test_who_leaves_early(make, origin, path):
    """The uplink's bytes count though nobody got them; a hit up to where it was left."""
    larder = make()
    size = 3_000_000
    url = origin.on(path, Reply(pattern(size), fields=FRESH, pace=(500_000, 0.05)))
    with larder.client(receive_buffer=8192) as client:
        client.send_head("GET", url)
        client.final_head()
    wait_for(lambda: total(larder)["aborted"] == 1, what="the abort")
    wait_for(lambda: stats(larder)["fetches_in_flight"] == 0, what="the fetch's end")
    after = total(larder)
    assert after["saved_bytes"] == after["worth_bytes"] - after["cost_bytes"]
    assert after["cost_bytes"] <= after["fetched_bytes"]
    assert after["worth_bytes"] < size
    assert after["saved_bytes"] <= 0


def test_who_leaves_without_an_answer(make, origin, path):
    larder = make({"timeouts": {"response": "60s"}})
    url = origin.on(path, Reply("late", fields=FRESH, delay=2.5 * PATIENCE))
    with larder.client() as client:
        client.send_head("GET", url)
        wait_for(lambda: stats(larder)["fetches_in_flight"] == 1, what="the fetch")
        # By a reset: an orderly end may still want the answer.
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_for(lambda: total(larder)["aborted"] == 1, what="the abort")
    counted = total(larder)
    assert counted["own"] == 0 and counted["worth_bytes"] == 0


def test_own_answers_save_nothing(make):
    larder = make()
    assert larder.get("http://127.0.0.1:1/").status == 502
    assert larder.get("/", host="no.such.site").status == 400
    counted = total(larder)
    assert counted["saved_bytes"] == 0 and counted["worth_bytes"] == 0
    assert counted["errors"] == 2 and counted["errors_sent"] > 100


def test_collapsed(make, origin, path):
    larder = make()
    url = origin.on(path, Reply(pattern(100_000), fields=FRESH, pace=(20_000, 0.1)))
    threads = [threading.Thread(target=larder.get, args=(url,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = total(larder)
    assert counted["saved_bytes"] == 300_000
    assert counted["collapsed"] + counted["hits"] == 3


# -- by result, host, client, URL -----------------------------------------
def test_bytes_by_result_are_all_bytes(make, origin, path):
    larder = make()
    url = origin.on(path, Reply(pattern(2000), fields=FRESH))
    larder.get(url)
    larder.get(url)
    larder.get("/", host="no.such.site")
    counted = total(larder)
    assert counted["hits_sent"] > 2000 and counted["misses_sent"] > 2000
    assert counted["served_bytes"] == sum(
        counted[f"{result}_sent"] for result in
        ("hits", "revalidated", "collapsed", "misses", "passes", "denied", "errors", "own"))


def rows(larder, *args):
    return {row["name"]: row for row in stats(larder, *args)["rows"]}


def test_by_host_client_and_url(make, origin, path):
    larder = make()
    url = origin.on(path, Reply(pattern(2000), fields=FRESH))
    other = origin.url(path, "localhost")
    larder.get(url)
    larder.get(url)
    larder.get(other)
    for since in ((), ("--since", "1d")):
        hosts = rows(larder, "--by", "host", *since)
        assert hosts["127.0.0.1"]["requests"] == 2
        assert hosts["127.0.0.1"]["hits"] == 1
        assert hosts["127.0.0.1"]["hit_bytes"] == 2000
        assert 2000 < hosts["127.0.0.1"]["fetched_bytes"] < 2500
        assert hosts["localhost"]["requests"] == 1
        clients = rows(larder, "--by", "client", *since)
        assert clients["127.0.0.1"]["requests"] == 3
        assert rows(larder, "--by", "url", *since)[url]["requests"] == 2
    one = stats(larder, "--by", "host", "--limit", "1")
    assert [row["name"] for row in one["rows"]] == ["127.0.0.1"]
    assert one["rest"]["requests"] == 1


def test_what_was_refused_takes_no_row(make, origin, path):
    larder = make({"access": {"destinations": []}})
    assert larder.get(origin.url(path)).status == 403
    assert rows(larder, "--by", "host") == {}
    assert rows(larder, "--by", "client")["127.0.0.1"]["requests"] == 1


def test_many_hosts_take_no_memory(make, origin):
    """Far more names than there are places: the heavy one is still found."""
    larder = make({"limits": {"client_share": 100}})
    heavy = origin.on("/heavy", Reply(pattern(100_000), fields=FRESH))
    for _ in range(5):
        larder.get(heavy)
    before = larder.rss()
    with larder.client() as client:
        for i in range(3000):
            assert client.get(f"http://h{i}.invalid/", {"Cache-Control": "only-if-cached"}
                              ).status == 504
    top = stats(larder, "--by", "host", "--limit", "1")
    assert top["rows"][0]["name"] == "127.0.0.1"
    assert top["rows"][0]["requests"] == 5
    assert sanitized() or larder.rss() - before < 4_000_000


def test_tunnels_are_what_could_not_be_cached(make):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        larder = make({"access": {"connect_ports": [port]}})
        with larder.client() as client:
            client.send_head("CONNECT", f"127.0.0.1:{port}")
            assert client.final_head().status == 200
            peer, _ = server.accept()
            client.send(b"x" * 1000)
            peer.sendall(b"y" * 3000)
            client.exactly(3000)
            # While it is open.
            wait_for(lambda: total(larder)["tunnel_bytes"] >= 4000, what="the bytes")
            peer.close()
        counted = total(larder)
    assert counted["tunnels"] == 1
    assert counted["saved_bytes"] == 0 and counted["served_bytes"] == 0
    host = rows(larder, "--by", "host")["127.0.0.1"]
    assert host["tunnel_bytes"] == counted["tunnel_bytes"] and host["sent_bytes"] == 0


def test_by_day_and_hour(make, origin, path):
    larder = make()
    url = origin.on(path, Reply(pattern(2000), fields=FRESH))
    larder.get(url)
    larder.get(url)
    for by in ("day", "hour"):
        found = stats(larder, "--by", by)["rows"]
        assert sum(row["requests"] for row in found) == 2 and len(found) <= 2
        assert sum(row["saved_bytes"] for row in found) == 2000
    period = stats(larder, "--since", "7d")["period"]
    assert period["requests"] == 2 and period["hits"] == 1


# -- over restarts ---------------------------------------------------------
def test_kept_over_a_restart(make, origin, path):
    larder = make()
    url = origin.on(path, Reply(pattern(2000), fields=FRESH))
    larder.get(url)
    larder.get(url)
    larder.ctl("purge", url, check=0)
    assert larder.stop() == 0

    def check():
        counted = stats(larder)
        assert counted["total"]["requests"] == 2
        assert counted["total"]["saved_bytes"] == 2000
        assert counted["total"]["purged"] == 1 and counted["total"]["purged_bytes"] > 0
        assert rows(larder, "--by", "host")["127.0.0.1"]["requests"] == 2
        assert rows(larder, "--by", "host", "--since", "2d")["127.0.0.1"]["requests"] == 2
        assert rows(larder, "--by", "client")["127.0.0.1"]["requests"] == 2
        assert sum(r["requests"] for r in stats(larder, "--by", "day")["rows"]) == 2
    check()  # on the store, with the daemon down
    larder.start()
    check()
    larder.get(url)
    assert total(larder)["requests"] == 3
    assert rows(larder, "--by", "host")["127.0.0.1"]["requests"] == 3


def test_a_purge_with_the_daemon_down_counts(make, origin, path):
    larder = make()
    larder.get(origin.on(path, Reply(pattern(2000), fields=FRESH)))
    assert larder.stop() == 0
    larder.ctl("purge", "--all", "--dry-run", check=0)
    larder.ctl("purge", "--all", check=0)
    assert total(larder)["purged"] == 1
    larder.start()
    assert total(larder)["purged"] == 1


def test_a_crash_loses_no_more_than_was_not_saved(make, origin, path):
    larder = make()
    url = origin.on(path, Reply(pattern(2000), fields=FRESH))
    larder.get(url)
    assert larder.stop() == 0
    larder.start()
    larder.get(url)
    larder.kill()
    larder.start()
    assert total(larder)["requests"] >= 1
    assert rows(larder, "--by", "host")["127.0.0.1"]["requests"] >= 1


# -- for people ------------------------------------------------------------
def test_text(make, origin, path):
    larder = make()
    url = origin.on(path, Reply(pattern(2000), fields=FRESH))
    larder.get(url)
    larder.get(url)
    text = larder.ctl("stats", check=0).stdout
    assert "bytes saved" in text and "not cacheable" in text
    assert "127.0.0.1" in larder.ctl("stats", "--by", "client", check=0).stdout
    text = larder.ctl("stats", "--since", "7d", "--by", "day", check=0).stdout
    assert text.startswith("DAY") and len(text.splitlines()) >= 2
    assert "SAVED" in text


def test_wrong_arguments(make):
    larder = make()
    for args, word in ((("--since", "yesterday"), "since"), (("--by", "moon"), "by: write host"),
                       (("--by", "host", "--limit", "0"), "limit")):
        done = larder.ctl("stats", *args)
        assert done.returncode in (1, 2) and word in done.stderr
