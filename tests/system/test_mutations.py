"""Good messages with a few bytes changed, by the thousand: what comes out on the
other side is well-formed, as many requests as there were, and in step."""
import os
import random
import re
import socket

import pytest

from harness.client import Aborted, BadMessage
from harness.daemon import Larder
from harness.recorder import OK, Last, Recorder

COUNT = int(os.environ.get("LARDER_TEST_MUTATIONS", 2000))
BITS = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\0", b"\x0b", b"\x0c", b"\x85", b"\xa0",
        b":", b",", b";", b"=", b'"', b"\\", b"0", b"1", b"9", b"f", b"+", b"-", b"0x", b"#", b"@",
        b"/", b"%", b"chunked", b"identity", b"gzip, ", b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n", b"Connection: close\r\n",
        b"Expect: 100-continue\r\n", b"\r\n ", b"0\r\n\r\n", b"5\r\nhello\r\n", b"HTTP/1.1", b"99999999999999999999"]


def mutate(data, chance):
    data = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(data))
        end = min(len(data), at + chance.choice((0, 0, 1, 2, 8)))
        kind = chance.randrange(4)
        if kind == 0:
            data[at:end] = b""
        elif kind == 1:
            data[at:at] = chance.choice(BITS)
        elif kind == 2:
            data[at:end] = chance.choice(BITS)
        else:
            data[at:at] = data[chance.randrange(len(data)):][:chance.randrange(1, 40)]
    return bytes(data)


def pieces(data, chance):
    """How it may come from the network."""
    cuts = sorted(chance.randrange(len(data)) for _ in range(chance.choice((0, 0, 1, 2, 5))))
    return [data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)])]


LAST = b"GET /last HTTP/1.1\r\nHost: a.test\r\n\r\n"
REQUESTS = [
    b"GET /a?b HTTP/1.1\r\nHost: a.test\r\nAccept: */*\r\nX: y\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\nContent-Type: x/y\r\n\r\nhello",
    b"POST /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n"
    b"5;a=\"b\"\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nConnection: X-Hop\r\n\r\n"
    b"26\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n\r\n0\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a.test\r\nContent-Length: 38\r\n\r\n"
    b"GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"HEAD /a HTTP/1.1\r\nHost: a.test:80\r\nConnection: keep-alive\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n",
    b"GET http://{origin}/a HTTP/1.1\r\nHost: {origin}\r\n\r\n",
    b"CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 10.0.0.1:443\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /a HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
]


@pytest.mark.parametrize("round", range(4))
def test_requests(round):
    chance = random.Random(f"requests {round}")
    recorder = Recorder()
    larder = Larder({"workers": 1, "timeouts": {"header": "1s", "idle": "1s"}},
                    sites={"*": f"http://{recorder.authority}"})
    try:
        for _ in range(COUNT // 4):
            base = chance.choice(REQUESTS).replace(b"{origin}", recorder.authority.encode())
            data = mutate(base, chance)
            recorder.forget()
            statuses = []
            with larder.client(timeout=5) as client:
                try:
                    for piece in pieces(data + LAST, chance):
                        client.send(piece)
                    client.sock.shutdown(socket.SHUT_WR)
                    while client.buffer or client.fill():
                        method = "HEAD" if not statuses and \
                            re.match(rb"(\r\n)*HEAD ", data) else "GET"
                        statuses.append(client.response(method).status)
                except (Aborted, OSError):
                    pass
            assert not recorder.wrong, (data, recorder.wrong)
            assert len(recorder.seen) <= len(statuses) + 1, (data, recorder.seen, statuses)
            for seen in recorder.seen:
                assert len(seen.all("Via")) == 1 and "larder" in seen.all("Via")[0], (data, seen)
    finally:
        recorder.close()
        larder.close()


RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=60\r\nETag: \"a\"\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: no-store\r\nTrailer: X\r\n\r\n"
    b"5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
    b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\nSet-Cookie: a=b\r\n\r\n",
]


@pytest.mark.parametrize("round", range(4))
def test_responses(round):
    chance = random.Random(f"responses {round}")
    raw = [b""]
    recorder = Recorder(lambda seen: OK if seen.target == "/fine" else
                        Last(raw[0]) if ends else raw[0])
    larder = Larder({"workers": 1, "timeouts": {"response": "1s"}},
                    sites={"*": f"http://{recorder.authority}"})
    try:
        for i in range(COUNT // 4):
            raw[0] = mutate(chance.choice(RESPONSES), chance)
            # An end of the connection, mostly: what waits for more takes a second.
            ends = chance.randrange(20) > 0
            try:
                answer = larder.get(f"/{i}", {"TE": "trailers"}, timeout=5)
                assert "Transfer-Encoding" not in dict(answer.trailers)
            except Aborted:
                pass
            except BadMessage as e:
                pytest.fail(f"{raw[0]!r}: {e}")
            answer = larder.get("/fine")
            assert (answer.status, answer.body) == (200, b"ok"), (raw[0], answer)
        assert not recorder.wrong
    finally:
        recorder.close()
        larder.close()
