"""Parts (RFC 9111 3.3, 3.4): what is stored of a representation is sent from
the store, and only what is missing is fetched. Every byte is compared."""
import hashlib
import json
import pathlib
import random
import re
import threading
import time

import pytest

from harness.client import Aborted
from harness.daemon import wait_for
from harness.origin import Reply, Resource, http_date, pattern

CC = {"Cache-Control": "max-age=300", "Content-Type": "application/x-test"}
MiB = 1 << 20


def digest(data):
    return hashlib.sha256(data).hexdigest()


def parts_of(larder, path):
    """Of what is stored: None stands for a whole."""
    listed = json.loads(larder.ctl("--json", "ls", f"*{path}", check=0).stdout)
    return [o.get("part") for o in listed["objects"]]


def written(larder):
    """Bytes, of all its files."""
    lines = pathlib.Path(f"/proc/{larder.pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def ranges_asked(origin, path):
    return [r.get("Range") for r in origin.seen(path)]


def test_an_asked_range_is_a_hit_the_second_time(larder, origin, path):
    body = pattern(500_000)
    url = origin.on(path, Resource(body, CC, '"v1"'))
    for hit in (False, True):
        answer = larder.get(url, {"Range": "bytes=1000-200999"})
        assert (answer.status, answer.hit) == (206, hit)
        assert answer.body == body[1000:201000]
        assert answer.get("Content-Range") == "bytes 1000-200999/500000"
        assert answer.get("Content-Type") == "application/x-test"
    inner = larder.get(url, {"Range": "bytes=5000-5999"})
    assert inner.hit and inner.body == body[5000:6000]
    assert ranges_asked(origin, path) == ["bytes=1000-200999"]


@pytest.mark.parametrize("size", [5000, 3 * MiB])
def test_a_whole_request_fetches_what_is_missing(larder, origin, path, size):
    body = pattern(size)
    url = origin.on(path, Resource(body, CC, '"v1"'))
    a, b, c, d = size // 10, size // 5, size // 2, size * 3 // 5
    larder.get(url, {"Range": f"bytes={a}-{b - 1}"})
    larder.get(url, {"Range": f"bytes={c}-{d - 1}"})
    answer = larder.get(url)
    assert answer.status == 200 and digest(answer.body) == digest(body)
    assert answer.cache_status["fwd"] == "partial" and "stored" in answer.cache_status
    seen = origin.seen(path)[2:]
    assert [r.get("Range") for r in seen] == \
        [f"bytes=0-{a - 1}", f"bytes={b}-{c - 1}", f"bytes={d}-"]
    assert {r.get("If-Range") for r in seen} == {'"v1"'}
    again = larder.get(url)
    assert again.hit and again.status == 200 and digest(again.body) == digest(body)
    assert again.get("Content-Length") == str(size)
    assert origin.count(path) == 5


def test_hints_before_a_later_gap_are_not_in_the_body(larder, origin, path):
    """An interim response to what is asked for in the middle of an answer is not the
    client's: it would stand in the body."""
    body, whole = pattern(600_000), Resource(pattern(600_000), CC, '"v1"')

    def hinting(exchange):
        reply = whole(exchange)
        reply.interim = [(103, [("Link", "</style.css>; rel=preload")])]
        return reply
    url = origin.on(path, hinting)
    larder.get(url, {"Range": "bytes=100000-199999"})
    larder.get(url, {"Range": "bytes=300000-399999"})
    answer = larder.get(url)
    assert answer.status == 200 and digest(answer.body) == digest(body)
    assert len(answer.interim) == 1
    assert ranges_asked(origin, path)[2:] == \
        ["bytes=0-99999", "bytes=200000-299999", "bytes=400000-"]


def test_gaps_without_number_are_the_whole(larder, origin, path):
    """They become one, and nothing that is stored lies outside of it."""
    body = pattern(1_000_001)
    url = origin.on(path, Resource(body, CC, '"v1"'))
    for at in range(50_000, 1_000_000, 200_000):
        larder.get(url, {"Range": f"bytes={at}-{at + 9_999}"})
    assert len(parts_of(larder, path)) == 5
    answer = larder.get(url)
    assert answer.status == 200 and digest(answer.body) == digest(body)
    assert ranges_asked(origin, path)[5:] == [None]
    assert larder.get(url).hit and parts_of(larder, path) == [None]


@pytest.mark.parametrize("spec", ["bytes=-900000", "bytes=0-900000"])
def test_a_range_of_everything_is_stored_as_the_whole(larder, origin, path, spec):
    body = pattern(400_000)
    url = origin.on(path, Resource(body, CC, '"v1"'))
    first = larder.get(url, {"Range": spec})
    assert first.status == 206 and digest(first.body) == digest(body)
    assert first.get("Content-Range") == "bytes 0-399999/400000"
    whole = larder.get(url)
    assert whole.hit and whole.status == 200 and digest(whole.body) == digest(body)
    assert whole.get("Content-Range") is None
    assert origin.count(path) == 1


def test_last_modified_joins_if_it_is_strong(larder, origin, path):
    """RFC 9110 8.8.2.2."""
    body = pattern(100_000)
    url = origin.on(path, Resource(body, CC, modified=http_date(-100_000)))
    larder.get(url, {"Range": "bytes=0-49999"})
    answer = larder.get(url)
    assert answer.body == body
    assert ranges_asked(origin, path) == ["bytes=0-49999", "bytes=50000-"]


@pytest.mark.parametrize("etag,modified", [('W/"v1"', None), (None, None), (None, 0)])
def test_weak_validators_do_not_join(larder, origin, path, etag, modified):
    """The part stands for itself; a whole request fetches the whole."""
    body = pattern(100_000)
    url = origin.on(path, Resource(
        body, CC, etag, None if modified is None else http_date(modified)))
    larder.get(url, {"Range": "bytes=0-49999"})
    assert larder.get(url, {"Range": "bytes=100-199"}).hit
    answer = larder.get(url)
    assert answer.body == body and ranges_asked(origin, path) == ["bytes=0-49999", None]
    assert larder.get(url).hit


def test_a_changed_representation_replaces_the_parts(larder, origin, path):
    resource = Resource(pattern(300_000), CC, '"v1"')
    url = origin.on(path, resource)
    larder.get(url, {"Range": "bytes=0-99999"})
    resource.body, resource.etag = pattern(300_000, 1), '"v2"'
    answer = larder.get(url)
    assert answer.status == 200 and digest(answer.body) == digest(resource.body)
    assert answer.get("ETag") == '"v2"'
    assert larder.get(url, {"Range": "bytes=0-9"}).body == resource.body[:10]
    assert origin.count(path) == 2


def test_a_changed_length_is_another_representation(larder, origin, path):
    """The same tag, another length: the origin is wrong, nothing is mixed."""
    resource = Resource(pattern(300_000), CC, '"v1"')
    url = origin.on(path, resource)
    larder.get(url, {"Range": "bytes=0-99999"})
    resource.body = pattern(300_001, 1)
    answer = larder.get(url)
    assert answer.status == 200 and digest(answer.body) == digest(resource.body)


def test_if_range_that_the_origin_ignores(larder, origin, path):
    """A 206 of another representation is not joined, whatever was asked."""
    old, new = pattern(200_000), pattern(200_000, 1)
    url = origin.on(path, Resource(old, CC, '"v1"'))
    larder.get(url, {"Range": "bytes=0-99999"})

    def careless(exchange):
        if exchange.request.get("Range") == "bytes=100000-":
            return Reply(new[100_000:], 206, {
                **CC, "ETag": '"v2"', "Content-Range": "bytes 100000-199999/200000"})
        return Resource(new, CC, '"v2"')(exchange)
    origin.on(path, careless)
    answer = larder.get(url)
    assert answer.status == 200 and digest(answer.body) == digest(new)
    assert ranges_asked(origin, path)[1:] == ["bytes=100000-", None]


def test_changed_in_the_middle(larder, origin, path):
    """Old bytes are out already: the transfer is aborted, the next is new."""
    old, new = pattern(300_000), pattern(300_000, 1)
    resource = Resource(old, CC, '"v1"')
    url = origin.on(path, resource)
    larder.get(url, {"Range": "bytes=100000-149999"})

    def changes(exchange):
        if exchange.request.get("Range") == "bytes=0-99999":
            reply = resource(exchange)
            resource.body, resource.etag = new, '"v2"'
            return reply
        return resource(exchange)
    origin.on(path, changes)
    with pytest.raises(Aborted):
        larder.get(url)
    answer = larder.get(url)
    assert answer.status == 200 and digest(answer.body) == digest(new)


@pytest.mark.parametrize("status", [404, 410, 416])
def test_an_error_for_a_gap_asks_for_the_whole(larder, origin, path, status):
    body = pattern(200_000)
    url = origin.on(path, Resource(body, CC, '"v1"'))
    larder.get(url, {"Range": "bytes=0-99999"})

    def fails(exchange):
        if exchange.request.get("Range"):
            return Reply("no", status)
        return Resource(body, CC, '"v1"')(exchange)
    origin.on(path, fails)
    answer = larder.get(url)
    assert answer.status == 200 and digest(answer.body) == digest(body)


def test_a_failing_origin_leaves_the_parts(larder, origin, path):
    body = pattern(200_000)
    url = origin.on(path, Resource(body, CC, '"v1"'))
    larder.get(url, {"Range": "bytes=0-99999"})
    origin.on(path, Reply("no", 503))
    assert larder.get(url).status == 503
    assert larder.get(url, {"Range": "bytes=0-99999"}).hit
    origin.on(path, Resource(body, CC, '"v1"'))
    assert digest(larder.get(url).body) == digest(body)


def test_stale_parts_are_validated_once(larder, origin, path):
    """A 304 makes all of the representation fresh."""
    body = pattern(200_000)
    resource = Resource(body, {"Cache-Control": "max-age=1"}, '"v1"')
    resource.not_modified_fields = [("Cache-Control", "max-age=300")]
    url = origin.on(path, resource)
    larder.get(url, {"Range": "bytes=0-99999"})
    larder.get(url, {"Range": "bytes=100000-199999"})
    wait_for(lambda: not larder.get(url, {"Range": "bytes=0-0"}).hit, 5, 0.3)
    assert origin.seen(path)[-1].get("If-None-Match") == '"v1"'
    count = origin.count(path)
    answer = larder.get(url)
    assert answer.hit and digest(answer.body) == digest(body)
    assert origin.count(path) == count


def test_parts_that_are_always_validated(larder, origin, path):
    body = pattern(200_000)
    url = origin.on(path, Resource(body, {"Cache-Control": "no-cache"}, '"v1"'))
    larder.get(url, {"Range": "bytes=0-99999"})
    for _ in range(2):
        answer = larder.get(url, {"Range": "bytes=10-19"})
        assert answer.status == 206 and answer.body == body[10:20]
        assert answer.cache_status["fwd-status"] == "304"
    answer = larder.get(url)
    assert answer.status == 200 and digest(answer.body) == digest(body)


def test_stale_parts_stand_in_for_a_failing_origin(larder, origin, path):
    body = pattern(100_000)
    url = origin.on(path, Resource(body, {"Cache-Control": "max-age=0"}, '"v1"'))
    larder.get(url, {"Range": "bytes=0-49999"})
    origin.on(path, Reply("no", 503))
    answer = larder.get(url, {"Range": "bytes=100-199"})
    assert answer.status == 206 and answer.body == body[100:200]
    assert larder.get(url).status == 503, "half of it is no answer"


def test_head_from_a_part(larder, origin, path):
    url = origin.on(path, Resource(pattern(100_000), CC, '"v1"'))
    larder.get(url, {"Range": "bytes=0-49999"})
    answer = larder.request("HEAD", url)
    assert answer.hit and answer.status == 200
    assert answer.get("Content-Length") == "100000" and origin.count(path) == 1


def test_vary_is_strict_for_parts(larder, origin, path):
    def negotiates(exchange):
        german = exchange.request.get("Accept-Language") == "de"
        return Resource(pattern(100_000, german), {**CC, "Vary": "Accept-Language"},
                        '"de"' if german else '"en"')(exchange)
    url = origin.on(path, negotiates)
    for language, seed in (("de", 1), ("en", 0)):
        larder.get(url, {"Range": "bytes=0-49999", "Accept-Language": language})
        answer = larder.get(url, {"Accept-Language": language})
        assert digest(answer.body) == digest(pattern(100_000, seed))
    assert larder.get(url, {"Accept-Language": "de", "Range": "bytes=5-9"}).hit


def test_purge_and_unsafe_methods_take_the_parts(larder, origin, path):
    url = origin.on(path, Resource(pattern(100_000), CC, '"v1"'))
    larder.get(url, {"Range": "bytes=0-9"})
    larder.get(url, {"Range": "bytes=20-29"})
    larder.request("POST", url, body=b"x")
    assert not larder.get(url, {"Range": "bytes=0-9"}).hit
    larder.get(url, {"Range": "bytes=20-29"})
    larder.ctl("purge", url, check=0)
    assert not larder.get(url, {"Range": "bytes=0-9"}).hit


def test_ls_and_explain_show_parts(larder, origin, path):
    url = origin.on(path, Resource(pattern(100_000), CC, '"v1"'))
    larder.get(url, {"Range": "bytes=10-49999"})
    text = "bytes 10-49999 of 100000"
    assert text in larder.ctl("ls", f"*{path}", check=0).stdout
    assert text in larder.ctl("explain", url, check=0).stdout
    told = json.loads(larder.ctl("--json", "explain", url, check=0).stdout)
    assert told["variants"][0]["part"] == text


# -- while it is on its way ----------------------------------------------------

class Slow:
    """A resource whose body comes up to a point, and then when it is let go."""

    def __init__(self, body, first, fields=CC, etag='"v1"', cut=False):
        self.body, self.first, self.cut = body, first, cut
        self.fields, self.etag = fields, etag
        self.go = threading.Event()

    def __call__(self, exchange):
        if exchange.request.get("Range"):
            return Resource(self.body, self.fields, self.etag)(exchange)
        exchange.head(200, {**self.fields, "ETag": self.etag, "Date": http_date(),
                            "Content-Length": len(self.body)})
        exchange.send(self.body[:self.first])
        self.go.wait(20)
        if self.cut:
            exchange.close = True
        else:
            exchange.send(self.body[self.first:])
        return None


def test_ranges_of_a_growing_object(larder, origin, path):
    """What is there or near follows it; what is far is fetched by itself."""
    body = pattern(8 * MiB)
    slow = Slow(body, 2 * MiB)
    url = origin.on(path, slow)
    with larder.client() as whole:
        whole.send_head("GET", url)
        assert whole.head().status == 200
        whole.exactly(2 * MiB)
        for spec, want in (("100-199", body[100:200]),
                           ("2000000-2000009", body[2000000:2000010])):
            answer = larder.get(url, {"Range": f"bytes={spec}"})
            assert answer.status == 206 and answer.body == want
        assert origin.count(path) == 1
        far = larder.get(url, {"Range": "bytes=7000000-7000099"})
        assert far.status == 206 and far.body == body[7000000:7000100]
        assert ranges_asked(origin, path) == [None, "bytes=7000000-7000099"]
        slow.go.set()
        assert digest(whole.exactly(6 * MiB)) == digest(body[2 * MiB:])
    wait_for(lambda: larder.get(url).hit)
    assert digest(larder.get(url).body) == digest(body)


@pytest.mark.parametrize("spec,parts", [
    ("0-9,500-509,2000000-2000009", True), ("2000000-2000009,0-9", False)])
def test_several_ranges_of_a_growing_object(larder, origin, path, spec, parts):
    """In ascending order as it comes, else the whole."""
    body = pattern(4 * MiB)
    url = origin.on(path, Resource(b"old", {"Cache-Control": "max-age=0"}, '"v0"'))
    larder.get(url)
    slow = Slow(body, 1000)
    origin.on(path, slow)
    with larder.client() as client:
        client.send_head("GET", url, {"Range": f"bytes={spec}"})
        head = client.head()
        assert head.status == (206 if parts else 200)
        if parts:
            assert body[500:510] in client.exactly(300)
        slow.go.set()
        rest = client.exactly(int(head.get("Content-Length")) - (300 if parts else 0))
        assert body[2000000:2000010] in rest


def test_one_fetch_for_the_same_range(larder, origin, path):
    body = pattern(MiB)
    resource, go = Resource(body, CC, '"v1"'), threading.Event()

    def waits(exchange):
        go.wait(10)
        return resource(exchange)
    url = origin.on(path, waits)
    clients = [larder.client() for _ in range(6)]
    for n, client in enumerate(clients):
        spec = "bytes=1000-99999" if n < 5 else "bytes=1000-99998"
        client.send_head("GET", url, {"Range": spec})
    wait_for(lambda: origin.count(path) == 2)
    go.set()
    for n, client in enumerate(clients):
        answer = client.response()
        assert answer.status == 206
        assert answer.body == body[1000:100000 if n < 5 else 99999]
        client.close()
    assert origin.count(path) == 2


def test_what_ended_short_is_resumed(larder, origin, path):
    body = pattern(4 * MiB)
    slow = Slow(body, 1_500_000, cut=True)
    slow.go.set()
    url = origin.on(path, slow)
    with pytest.raises(Aborted):
        larder.get(url)
    origin.on(path, Resource(body, CC, '"v1"'))
    answer = larder.get(url)
    assert answer.status == 200 and digest(answer.body) == digest(body)
    assert ranges_asked(origin, path) == [None, "bytes=1500000-"]
    again = larder.get(url)
    assert again.hit and digest(again.body) == digest(body)


def test_what_clients_left_is_resumed(larder, origin, path):
    body = pattern(8 * MiB)
    slow = Slow(body, 2 * MiB)
    url = origin.on(path, slow)
    with larder.client() as client:
        client.send_head("GET", url)
        assert client.head().status == 200
        client.exactly(2 * MiB)
    wait_for(lambda: "part" in larder.ctl("--json", "ls", f"*{path}").stdout)
    slow.go.set()
    origin.on(path, Resource(body, CC, '"v1"'))
    answer = larder.get(url)
    assert answer.status == 200 and digest(answer.body) == digest(body)
    assert re.fullmatch(r"bytes=\d{6,}-", ranges_asked(origin, path)[-1])


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_of_unknown_length_nothing_is_kept(larder, origin, path, framing):
    body = pattern(MiB)
    url = origin.on(path, Reply(body, fields={**CC, "ETag": '"v1"'}, framing=framing,
                                cut=500_000, reset=True))
    with pytest.raises(Aborted):
        larder.get(url)
    origin.on(path, Resource(body, CC, '"v1"'))
    assert digest(larder.get(url).body) == digest(body)
    assert ranges_asked(origin, path) == [None, None]


def test_little_is_not_kept(larder, origin, path):
    body = pattern(MiB)
    url = origin.on(path, Reply(body, fields={**CC, "ETag": '"v1"'}, cut=60_000))
    with pytest.raises(Aborted):
        larder.get(url)
    origin.on(path, Resource(body, CC, '"v1"'))
    assert larder.get(url).body == body
    assert ranges_asked(origin, path) == [None, None]


def test_the_rest_is_fetched_behind_a_range(make, origin, path):
    """rule { fetch_whole = true }: once the range is there, all of it comes."""
    larder = make(extra='rule { match = "*"  fetch_whole = true }')
    body = pattern(3 * MiB)
    url = origin.on(path, Resource(body, CC, '"v1"'))
    answer = larder.get(url, {"Range": "bytes=1000000-1099999"})
    assert answer.status == 206 and answer.body == body[1000000:1100000]
    wait_for(lambda: origin.count(path) == 3)
    assert ranges_asked(origin, path)[1:] == ["bytes=0-999999", "bytes=1100000-"]
    wait_for(lambda: parts_of(larder, path) == [None], what="the whole")
    answer = larder.get(url)
    assert answer.hit and digest(answer.body) == digest(body)
    assert origin.count(path) == 3


def test_the_rest_is_not_fetched_without_the_rule(larder, origin, path):
    url = origin.on(path, Resource(pattern(200_000), CC, '"v1"'))
    larder.get(url, {"Range": "bytes=1000-1999"})
    assert not larder.get(url, {"Range": "bytes=3000-3999"}).hit
    assert origin.count(path) == 2


def test_parts_that_come_at_once_become_one(larder, origin, path):
    """More than are joined at a time, and some of them while others of the same key
    are being joined."""
    step, urls = 400_000, {}
    body = pattern(3 * step)
    for i in range(12):
        urls[f"{path}/{i}"] = origin.on(f"{path}/{i}", Resource(body, CC, '"v1"'))
    clients = []
    for url in urls.values():
        for at in range(0, 3 * step, step):
            clients.append(larder.client())
            clients[-1].send_head("GET", url, {"Range": f"bytes={at}-{at + step - 1}"})
    for client in clients:
        with client:
            assert len(client.response().body) == step
    for one, url in urls.items():
        wait_for(lambda one=one: parts_of(larder, one) == [None], what="the whole")
        answer = larder.get(url)
        assert answer.hit and digest(answer.body) == digest(body)


def test_what_is_joined_has_the_newest_head(make, origin, path):
    """A part that came while its key was being joined is freshened before its turn."""
    larder = make({"workers": 1}, sites={"*": origin.url("")})
    half = 48 * MiB
    resource = Resource(pattern(2 * half), (), '"v1"')

    def handler(exchange):
        new = "If-None-Match" in exchange.request
        resource.fields = [("Cache-Control", "max-age=300" if new else "max-age=0"),
                           ("X-V", "new" if new else "old")]
        return resource(exchange)
    url = origin.on(path, handler)
    tail = {"Range": f"bytes={half}-{half + 9}"}
    with larder.client() as client:
        for at in (0, half):
            larder.get(url, {"Range": f"bytes={at}-{at + half - 1}"})
        assert client.request("GET", url, tail).get("X-V") == "new"
        assert client.request("GET", url, tail).get("X-V") == "new"
    wait_for(lambda: parts_of(larder, path) == [None], what="the whole")
    answer = larder.get(url, tail)
    assert answer.hit and answer.get("X-V") == "new"
    assert answer.get("Cache-Control") == "max-age=300"


def test_what_cannot_be_joined_is_left(make, origin, path):
    """Where the key has more to it than can be looked through, nothing is tried for
    ever."""
    larder = make({"workers": 1}, sites={"*": origin.url("")})
    half = MiB
    body = pattern(2 * half)
    url = origin.on(path, Resource(
        body, {"Cache-Control": "max-age=300", "Vary": "X-K, X-L"}, '"v1"'))
    for i in range(28):
        larder.get(url, {"Range": "bytes=0-9", "X-K": f"{i:04}" + "x" * 3975,
                         "X-L": "y" * 3975})
    for at in (0, half):
        larder.get(url, {"Range": f"bytes={at}-{at + half - 1}"})

    def rests():
        before = written(larder)
        time.sleep(1)
        return written(larder) - before < half
    wait_for(rests, what="an end of it")
    answer = larder.get(url)
    assert digest(answer.body) == digest(body)


@pytest.mark.parametrize("step", [4_000, 300_000])
def test_small_parts_become_one(larder, origin, path, step):
    """On disk, without the origin; in the end they are the whole."""
    size = 16 * step
    body = pattern(size)
    url = origin.on(path, Resource(body, CC, '"v1"'))
    for at in range(0, size - step, step):
        assert larder.get(url, {"Range": f"bytes={at}-{at + step - 1}"}).body == \
            body[at:at + step]
        wait_for(lambda: len(parts_of(larder, path)) <= 4, what="parts to be joined")
    count = origin.count(path)
    half = larder.get(url, {"Range": f"bytes=0-{size - step - 1}"})
    assert half.hit and digest(half.body) == digest(body[:-step])
    larder.get(url)
    assert origin.count(path) == count + 1
    whole = larder.get(url)
    assert whole.hit and digest(whole.body) == digest(body)


def test_two_halves_become_the_whole(larder, origin, path):
    body = pattern(2 * MiB)
    url = origin.on(path, Resource(body, CC, '"v1"'))
    larder.get(url, {"Range": f"bytes=0-{MiB - 1}"})
    larder.get(url, {"Range": f"bytes={MiB}-"})
    wait_for(lambda: parts_of(larder, path) == [None], what="the whole")
    larder.restart()
    answer = larder.get(url)
    assert answer.hit and digest(answer.body) == digest(body)
    assert origin.count(path) == 2


# -- all of it, at random ------------------------------------------------------

class Model:
    """What a client may see: of one version of the resource, all that it asked
    for, byte by byte."""

    def __init__(self, seed, size):
        self.random = random.Random(seed)
        self.size = size
        self.versions = {}
        self.resource = Resource(b"", CC)
        self.change()

    def change(self):
        n = len(self.versions) + 1
        body = pattern(self.size + n, n)
        self.resource.etag = f'"v{n}"'
        self.resource.body = body
        self.versions[f'"v{n}"'] = body

    def range(self):
        """A request's fields, and what it selects of a body."""
        r, size = self.random, len(self.resource.body)
        kind = r.random()
        if kind < 0.1:
            return {}, None
        if kind < 0.2:
            n = r.randrange(1, size)
            return {"Range": f"bytes=-{n}"}, [(size - n, size)]
        if kind < 0.3:
            a = r.randrange(size)
            return {"Range": f"bytes={a}-"}, [(a, size)]
        if kind < 0.4:
            cuts = sorted(r.sample(range(0, size - 1, 7), 6))
            pairs = [(cuts[i], cuts[i + 1]) for i in (0, 2, 4)]
            spec = ",".join(f"{a}-{b - 1}" for a, b in pairs)
            return {"Range": f"bytes={spec}"}, pairs
        a = r.randrange(size)
        b = min(size, a + r.choice((1, 100, 5000, 70_000, 400_000)))
        return {"Range": f"bytes={a}-{b - 1}"}, [(a, b)]

    def check(self, answer, pairs):
        body = self.versions[answer.get("ETag")]
        if answer.status == 200:
            assert digest(answer.body) == digest(body)
            return
        assert answer.status == 206 and pairs
        if "multipart" not in answer.get("Content-Type"):
            found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.get("Content-Range"))
            first, last, size = map(int, found.groups())
            assert size == len(body)
            assert digest(answer.body) == digest(body[first:last + 1])
            if len(body) == len(self.resource.body):
                assert [(first, last + 1)] == pairs
            return
        boundary = answer.get("Content-Type").partition("boundary=")[2].encode()
        pieces = answer.body.split(b"--" + boundary)
        assert pieces[-1] == b"--\r\n" and len(pieces) == len(pairs) + 2
        for piece in pieces[1:-1]:
            head, _, data = piece[2:-2].partition(b"\r\n\r\n")
            found = re.search(rb"bytes (\d+)-(\d+)/", head)
            first, last = map(int, found.groups())
            assert digest(data) == digest(body[first:last + 1])

    def step(self, get):
        fields, pairs = self.range()
        try:
            answer = get(fields)
        except Aborted:
            return False
        self.check(answer, pairs)
        return True


def multi(model):
    """As the model's resource, and several ranges get the whole."""
    return lambda exchange: model.resource(exchange)


@pytest.mark.parametrize("size", [20_000, 2_000_000])
def test_random_ranges(make, origin, path, size):
    """An origin that changes, a daemon that stops and is killed in between."""
    larder = make()
    model = Model(size, size)
    url = origin.on(path, multi(model))
    for n in range(300):
        assert model.step(lambda fields: larder.get(url, fields)), "aborted"
        if n % 60 == 59:
            model.change()
            larder.ctl("purge", url) if n % 120 == 119 else None
        if n % 100 == 50:
            larder.restart()
        if n % 100 == 99:
            larder.kill()
            larder.start()
    assert origin.count(path) < 300


def test_parts_survive_kill(make, origin, path):
    larder = make()
    body = pattern(2 * MiB)
    url = origin.on(path, Resource(body, CC, '"v1"'))
    for at in range(4):
        larder.get(url, {"Range": f"bytes={at * 300_000}-{at * 300_000 + 99_999}"})
    wait_for(lambda: larder.ctl("verify").returncode == 0)
    wait_for(lambda: "bytes 900000" in larder.ctl("ls", f"*{path}").stdout)
    larder.stop()
    larder.start()
    larder.kill()
    larder.start()
    for at in range(4):
        answer = larder.get(url, {"Range": f"bytes={at * 300_000}-{at * 300_000 + 99_999}"})
        assert answer.hit and digest(answer.body) == \
            digest(body[at * 300_000:at * 300_000 + 100_000])
    assert digest(larder.get(url).body) == digest(body)


def test_eight_clients_at_once(make, origin, path):
    """An aborted transfer is allowed when the origin changed, a wrong byte never."""
    larder = make()
    model = Model(8, 1_000_000)
    url = origin.on(path, multi(model))
    failures = []

    def run(seed):
        mine = Model.__new__(Model)
        mine.__dict__.update(model.__dict__, random=random.Random(seed))
        try:
            for _ in range(40):
                mine.step(lambda fields: larder.get(url, fields))
        except Exception as e:  # pylint: disable=broad-except
            failures.append(repr(e)[:2000])
    threads = [threading.Thread(target=run, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    assert origin.count(path) < 320
