"""Random walks over one URL: ranges, conditions and reloads of a representation
that changes now and then, on one connection a walk. Whatever larder has of it,
whole or in parts, each answer is of one version, and the next one stands where
it should."""
import random
import re

import pytest

from harness.origin import Reply, http_date, pattern

SIZES = [1, 5, 10, 50, 300, 3000, 70_000]
WALKS, STEPS = 25, 14


class Changing:
    """Byte ranges, tags or dates, as its kind has it; a version at a time."""

    def __init__(self, dice):
        self.dice = dice
        self.kind = dice.choice(["strong", "strong", "weak", "date", "none"])
        self.control = dice.choice(["max-age=60", "max-age=60", "max-age=0", "no-cache"])
        self.framing = dice.choice(["length", "length", "chunked"])
        self.version, self.bodies = 0, {}
        self.change()

    def change(self):
        self.version += 1
        size = self.dice.choice(SIZES) if self.version == 1 or self.dice.random() < .5 \
            else len(self.body)
        self.bodies[self.version] = self.body = pattern(size, self.version)
        tag = f'"v{self.version}"'
        self.tag = {"strong": tag, "weak": "W/" + tag}.get(self.kind)
        self.strong = self.tag if self.kind == "strong" else None
        self.date = http_date(-100_000 + 10 * self.version) if self.kind == "date" else None

    def __call__(self, x):
        ask, size = x.request, len(self.body)
        fields = [("Cache-Control", self.control), ("X-Version", str(self.version))]
        fields += [("ETag", self.tag)] if self.tag else []
        fields += [("Last-Modified", self.date)] if self.date else []
        tags = (ask.get("If-None-Match") or "").replace("W/", "").split(", ")
        if self.tag and self.tag.removeprefix("W/") in tags or \
                self.date and ask.get("If-Modified-Since") == self.date:
            return Reply(status=304, fields=fields)
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", ask.get("Range") or "")
        if not match or ask.method != "GET" or \
                ask.get("If-Range") not in (None, self.date, self.strong):
            return Reply(self.body, fields=fields, framing=self.framing)
        first, last = resolve(*match.groups(), size)
        if first > last:
            return Reply(status=416, fields=[("Content-Range", f"bytes */{size}")])
        fields.append(("Content-Range", f"bytes {first}-{last}/{size}"))
        return Reply(self.body[first:last + 1], 206, fields, framing=self.framing)


def resolve(first, last, size):
    if not first:
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


def one_range(dice, size):
    first = dice.randrange(size)
    return dice.choice([f"-{dice.choice([1, 2, size, size + 5])}", f"{first}-",
                        f"{size + dice.randrange(3)}-", f"{first}-{first}"]
                       + [f"{first}-{first + dice.randrange(size // 2 + 1)}"] * 4)


def request_of(dice, origin):
    fields, size = {}, len(origin.body)
    if dice.random() < .65:
        count = dice.choice([1, 1, 1, 1, 2, 2, 3, 9])
        fields["Range"] = "bytes=" + ", ".join(one_range(dice, size) for _ in range(count))
        if dice.random() < .25:
            fields["If-Range"] = dice.choice([origin.tag, origin.date, '"v0"']) or '"v0"'
    if dice.random() < .15:
        fields["If-None-Match"] = dice.choice([origin.tag or '"v0"', '"v0"', '"v1", "v2"'])
    if dice.random() < .1:
        fields["Cache-Control"] = dice.choice(["no-cache", "max-age=0", "only-if-cached"])
    method = "HEAD" if origin.kind != "none" and dice.random() < .1 else "GET"
    return method, fields


def parts_of(answer):
    """(first, last, of how many, bytes) each."""
    boundary = re.fullmatch(r"multipart/byteranges; boundary=(\S+)",
                            answer.get("Content-Type", ""))
    if not boundary:
        yield answer.get("Content-Range"), answer.body
        return
    pieces = answer.body.split(b"--" + boundary[1].encode())
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n"
    for piece in pieces[1:-1]:
        head, _, body = piece.partition(b"\r\n\r\n")
        yield re.search(rb"Content-Range: ([^\r]+)", head)[1].decode(), body[:-2]


def check(origin, method, fields, answer):
    if answer.status in (304, 416, 504):
        asked = {304: "If-None-Match", 416: "Range", 504: "Cache-Control"}[answer.status]
        assert asked in fields
        return
    whole = origin.bodies[int(answer.get("X-Version"))]
    if method == "HEAD" or answer.status == 200:
        assert answer.status == 200 and answer.body == (b"" if method == "HEAD" else whole)
        return
    assert answer.status == 206 and "Range" in fields
    assert fields.get("If-Range") in (None, answer.get("ETag"), answer.get("Last-Modified"))
    for extent, body in parts_of(answer):
        first, last, size = map(int, re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", extent).groups())
        assert size == len(whole) and body == whole[first:last + 1]
        if "," not in fields["Range"]:
            assert (first, last) == resolve(*fields["Range"][6:].split("-"), size)


@pytest.mark.parametrize("seed", range(4))
def test_walk(larder, origin, path, seed):
    dice = random.Random(seed)
    for walk in range(WALKS):
        changing, history = Changing(dice), []
        url = origin.on(f"{path}/{walk}", changing)
        with larder.client() as client:
            for _ in range(STEPS):
                if dice.random() < .1:
                    changing.change()
                    history.append("changed")
                    continue
                method, fields = request_of(dice, changing)
                history.append((method, fields))
                answer = client.request(method, url, fields)
                history.append((answer.status, answer.get("Cache-Status")))
                try:
                    check(changing, method, fields, answer)
                except (AssertionError, KeyError, TypeError) as e:
                    raise AssertionError(f"{e}\n{history}\n{answer}") from e
