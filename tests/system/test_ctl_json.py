"""--json is exact: what each command prints is what its schema in tests/schemas says."""
import copy
import functools
import json
import pathlib

import jsonschema
import pytest

from harness.daemon import Larder, wait_for
from harness.origin import Reply

SCHEMAS = pathlib.Path(__file__).resolve().parents[1] / "schemas"
FRESH = {"Cache-Control": "max-age=600, stale-while-revalidate=60", "ETag": '"a"',
         "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT", "Vary": "A"}


@functools.lru_cache(None)
def validator(name):
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def validate(name, tree):
    validator(name).validate(tree)
    return validator(name).schema


@pytest.fixture(scope="module")
def filled(origin):
    larder = Larder(sites={"*": origin.url("")},
                    extra='rule { match = "*/json/*" min_fresh = "1h" tag = {"a", "b"} '
                          'strip = "X-A" force = {"private"} ignore_query = true }')
    larder.urls = [origin.on(f"/json/{i}", Reply("x" * 1000, fields=FRESH)) for i in range(3)]
    for url in larder.urls:
        larder.get(url, {"A": "one"})
        larder.get(url, {"A": "two"})
    wait_for(lambda: len(json.loads(larder.ctl("--json", "ls", check=0).stdout)["objects"]) == 6)
    yield larder
    larder.close()


def run(larder, *args, status=0):
    return json.loads(larder.ctl("--json", *args, check=status).stdout)


def commands(larder):
    url = larder.urls[0]
    return [
        ("stats", ["stats"]), ("stats", ["stats", "--since", "7d", "--by", "day"]),
        ("stats", ["stats", "--by", "host"]), ("stats", ["stats", "--by", "url", "--since", "1h"]),
        ("ls", ["ls"]), ("ls", ["ls", "*.none"]), ("explain", ["explain", url]),
        ("explain", ["explain", "-H", "A: one", "-H", "Authorization: x", url]),
        ("explain", ["explain", "http://nowhere.test/"]), ("verify", ["verify"]), ("gc", ["gc"]),
        ("version", ["version"]), ("purge", ["purge", "--dry-run", url]),
        ("purge", ["purge", "--tag", "none"])]


def test_up(filled):
    for name, args in commands(filled):
        validate(name, run(filled, *args))
    validate("ping", run(filled, "ping"))
    validate("reload", run(filled, "reload"))
    filled.get(filled.urls[0], {"A": "one"})
    validate("top", run(filled, "top", "--interval", "100ms"))


def test_prefetch_and_doctor(filled, origin, path):
    good = origin.on(path, Reply("x", fields={"Cache-Control": "max-age=60"}))
    bad = origin.on(path + "/no", Reply("x", fields={"Cache-Control": "no-store"}))
    validate("prefetch", run(filled, "prefetch", good, filled.urls[0]))
    validate("prefetch", run(filled, "prefetch", good, bad, origin.url(path + "/none"), status=1))
    validate("doctor", run(filled, "doctor", good))


def test_down(filled):
    assert filled.stop() == 0
    try:
        for name, args in commands(filled):
            validate(name, run(filled, *args))
        validate("doctor", run(filled, "doctor", filled.urls[0], status=1))
    finally:
        filled.start()


def spoiled(tree, schema):
    """Copies of tree, each with one thing in it that the schema should refuse."""
    for name in schema["required"]:
        copied = copy.deepcopy(tree)
        del copied[name]
        yield copied
    for name in tree:
        copied = copy.deepcopy(tree)
        copied[name] = {"wrong": [None]}
        yield copied


def test_the_schemas_are_strict(filled):
    """One that takes anything would check nothing."""
    for name, args in [("ls", ["ls"]), ("explain", ["explain", filled.urls[0]]),
                       ("stats", ["stats"]), ("top", ["top", "--interval", "100ms"]),
                       ("verify", ["verify"])]:
        tree = run(filled, *args)
        schema = validate(name, tree)
        for wrong in spoiled(tree, schema):
            assert not validator(name).is_valid(wrong), wrong


def test_every_command_has_one(filled):
    listed = filled.ctl("--help", check=0).stdout
    names = {line.split()[0] for line in listed.splitlines() if line.startswith("  ")
             and not line.strip().startswith("-")}
    assert names == {p.stem for p in SCHEMAS.glob("*.json")}
