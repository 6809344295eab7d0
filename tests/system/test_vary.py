"""Variants side by side (RFC 9111 4.1)."""
from harness.origin import Reply


def by_language(control="max-age=60", vary="Accept-Language"):
    return lambda x: Reply(x.request.get("Accept-Language", "none"),
                           fields={"Cache-Control": control, "Vary": vary})


def test_variants_side_by_side(larder, origin, path):
    url = origin.on(path, by_language())
    for _ in range(3):
        for language in ("de", "fr", "en"):
            assert larder.get(url, {"Accept-Language": language}).body == language.encode()
        assert larder.get(url).body == b"none"
    assert origin.count(path) == 4


def test_vary_miss_is_named(larder, origin, path):
    url = origin.on(path, by_language())
    larder.get(url, {"Accept-Language": "de"})
    answer = larder.get(url, {"Accept-Language": "fr"})
    assert answer.cache_status["fwd"] == "vary-miss"


def test_absent_is_not_empty_nor_other(larder, origin, path):
    """RFC 9111 4.1: absent matches absent only."""
    url = origin.on(path, by_language())
    larder.get(url)
    assert larder.get(url, {"Accept-Language": "de"}).body == b"de"
    assert larder.get(url).body == b"none"


def test_several_names(larder, origin, path):
    url = origin.on(path, lambda x: Reply(
        x.request.get("A", "-") + x.request.get("B", "-"),
        fields={"Cache-Control": "max-age=60", "Vary": "a, B"}))
    for fields, body in (({"A": "1"}, b"1-"), ({"B": "1"}, b"-1"),
                         ({"A": "1", "B": "1"}, b"11")):
        assert larder.get(url, fields).body == body
        assert larder.get(url, fields).hit
    assert origin.count(path) == 3


def test_names_are_not_values(larder, origin, path):
    """Two fields that join to the same text are still two."""
    url = origin.on(path, lambda x: Reply(
        x.request.get("A", "") + "|" + x.request.get("B", ""),
        fields={"Cache-Control": "max-age=60", "Vary": "A, B"}))
    assert larder.get(url, {"A": "x", "B": "yz"}).body == b"x|yz"
    assert larder.get(url, {"A": "xy", "B": "z"}).body == b"xy|z"


def test_repeated_request_field(larder, origin, path):
    """RFC 9110 5.3: two lines mean the same as one list."""
    url = origin.on(path, by_language())
    larder.get(url, [("Accept-Language", "de"), ("Accept-Language", "en")])
    assert larder.get(url, {"Accept-Language": "de, en"}).body == b"de, en"
    assert origin.count(path) <= 2


def test_vary_changes(larder, origin, path):
    """The newest answer's Vary says how to choose; a wrong one is never sent."""
    url = origin.on(path, Reply("same for all", fields={"Cache-Control": "max-age=0"}))
    larder.get(url)
    origin.on(path, by_language())
    assert larder.get(url, {"Accept-Language": "de"}).body == b"de"
    assert larder.get(url, {"Accept-Language": "fr"}).body == b"fr"
    assert larder.get(url, {"Accept-Language": "de"}).body == b"de"


def test_accept_encoding(larder, origin, path):
    """A client that cannot read gzip never gets it from another's request."""
    import gzip
    packed = gzip.compress(b"text")

    def handler(x):
        if "gzip" in x.request.get("Accept-Encoding", ""):
            return Reply(packed, fields={"Cache-Control": "max-age=60", "Vary":
                                         "Accept-Encoding", "Content-Encoding": "gzip"})
        return Reply("text", fields={"Cache-Control": "max-age=60",
                                     "Vary": "Accept-Encoding"})
    url = origin.on(path, handler)
    for _ in range(2):
        a = larder.get(url, {"Accept-Encoding": "gzip"})
        b = larder.get(url)
        assert (a.get("Content-Encoding"), a.body) in (("gzip", packed), (None, b"text"))
        assert (b.get("Content-Encoding"), b.body) == (None, b"text")


def test_variants_are_bounded(larder, origin, path):
    """CVE-2024-35296: many variants are no way to fill the cache; the answers
    stay right."""
    url = origin.on(path, by_language())
    with larder.client() as client:
        for i in range(200):
            assert client.get(url, {"Accept-Language": f"x-{i}"}).body == f"x-{i}".encode()
        assert client.get(url, {"Accept-Language": "x-199"}).body == b"x-199"


def test_head_picks_the_variant(larder, origin, path):
    url = origin.on(path, lambda x: Reply("x" * int(x.request.get("N", "1")), fields={
        "Cache-Control": "max-age=60", "Vary": "N"}))
    larder.get(url, {"N": "5"})
    larder.get(url, {"N": "7"})
    assert larder.request("HEAD", url, {"N": "5"}).get("Content-Length") == "5"
    assert larder.request("HEAD", url, {"N": "7"}).get("Content-Length") == "7"


def test_variant_is_revalidated_by_its_own_validator(larder, origin, path):
    def handler(x):
        language = x.request.get("Accept-Language")
        tag = f'"{language}"'
        fields = {"Cache-Control": "max-age=0", "Vary": "Accept-Language", "ETag": tag}
        if tag in x.request.get("If-None-Match", ""):
            return Reply(status=304, fields=fields)
        return Reply(language, fields=fields)
    url = origin.on(path, handler)
    for _ in range(2):
        for language in ("de", "fr"):
            assert larder.get(url, {"Accept-Language": language}).body == language.encode()
    last = origin.seen(path)[-2:]
    assert '"de"' in last[0].get("If-None-Match", "")
    assert '"fr"' in last[1].get("If-None-Match", "")
