"""CONNECT tunnels (RFC 9110 9.3.6)."""
import os
import socket
import struct
import subprocess
import threading

import pytest

from harness.daemon import PATIENCE, wait_for
from harness.origin import Origin, Reply, pattern


class Echo:
    """A TCP server whose talk(sock) is given by the test."""

    def __init__(self, talk):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.talk = talk
        self.accepted = 0
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self.one, args=(sock,), daemon=True).start()

    def one(self, sock):
        with sock:
            try:
                self.talk(sock)
            except OSError:
                pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def echo():
    servers = []

    def start(talk):
        servers.append(Echo(talk))
        return servers[-1]
    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def tls_origin(authority):
    server = Origin(tls=authority.issue("localhost", ["DNS:localhost"]))
    yield server
    server.stop()


def tunnel_to(make, port, **kw):
    larder = make({"access": {"connect_ports": [port]}, **kw})
    client = larder.client()
    client.send_head("CONNECT", f"127.0.0.1:{port}", host=f"127.0.0.1:{port}")
    answer = client.response("CONNECT")
    assert answer.status // 100 == 2, answer
    # RFC 9110 9.3.6: neither may be in a 2xx answer to CONNECT
    assert "Content-Length" not in answer and "Transfer-Encoding" not in answer
    return larder, client


def test_curl_https_through_connect(make, authority, tls_origin, path):
    body = pattern(200000)
    url = tls_origin.on(path, Reply(body)).replace("127.0.0.1", "localhost")
    larder = make({"access": {"connect_ports": [tls_origin.port]}})
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "", "-x", larder.url, "--cacert",
         str(authority.cert), "--max-time", str(20 * PATIENCE), url],
        capture_output=True, stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin"})
    assert done.stdout == body, done.stderr
    entry = larder.access(f"localhost:{tls_origin.port}")[0]
    assert (entry.result, entry.method) == ("TCP_TUNNEL", "CONNECT")
    assert entry.bytes >= len(body)


def test_bytes_both_ways(make, echo):
    def talk(sock):
        while data := sock.recv(65536):
            sock.sendall(data)
    server = echo(talk)
    _, client = tunnel_to(make, server.port)
    data, got = pattern(3_000_000), []

    def read():
        got.append(client.exactly(len(data)))
    reader = threading.Thread(target=read)
    reader.start()
    client.send(data)
    reader.join(20 * PATIENCE)
    assert got and got[0] == data


def test_bytes_sent_with_the_request_are_not_lost(make, echo):
    """A client may send before it has the answer."""
    server = echo(lambda sock: sock.sendall(b"got " + sock.recv(100)))
    larder = make({"access": {"connect_ports": [server.port]}})
    with larder.client() as client:
        name = f"127.0.0.1:{server.port}"
        client.send(f"CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n\r\nearly")
        assert client.response("CONNECT").status == 200
        assert client.exactly(9) == b"got early"


def test_half_close(make, echo):
    """The client ends its side; the answer still comes whole."""
    def talk(sock):
        total = 0
        while data := sock.recv(65536):
            total += len(data)
        sock.sendall(b"%d" % total + b"!" * 100000)
    server = echo(talk)
    _, client = tunnel_to(make, server.port)
    client.send(b"x" * 1000)
    client.sock.shutdown(socket.SHUT_WR)
    assert client.exactly(4 + 100000) == b"1000" + b"!" * 100000
    assert client.closed()


def test_half_close_by_the_server(make, echo):
    """The server ends its side; what the client sends still arrives."""
    got = []

    def talk(sock):
        sock.sendall(b"bye")
        sock.shutdown(socket.SHUT_WR)
        data = b""
        while part := sock.recv(65536):
            data += part
        got.append(data)
    server = echo(talk)
    _, client = tunnel_to(make, server.port)
    assert client.exactly(3) == b"bye"
    assert client.closed()
    client.send(b"y" * 50000)
    client.close()
    wait_for(lambda: got, what="the server's end")
    assert got[0] == b"y" * 50000


def test_back_pressure(make, echo):
    """A client that does not read stops the server; memory stays bounded."""
    sent = [0]

    def talk(sock):
        block = b"z" * 65536
        while sent[0] < 256 << 20:
            sock.sendall(block)
            sent[0] += len(block)
    server = echo(talk)
    larder, client = tunnel_to(make, server.port)
    last = -1

    def stalled():
        nonlocal last
        before, last = last, sent[0]
        return last == before and last > 0
    wait_for(stalled, 10, every=0.5, what="the server to stall")
    assert sent[0] < 64 << 20, "everything was taken in at once"
    client.close()


def descriptors(larder):
    return len(os.listdir(f"/proc/{larder.pid}/fd"))


def test_bulk_both_ways_at_their_own_pace(make, echo):
    """Much each way at once: the one way stands still while the other goes on,
    both arrive whole, and nothing is left of them."""
    up, down = pattern(12_000_000), pattern(9_000_000)[::-1]
    taken, go = [], threading.Event()

    def talk(sock):
        sender = threading.Thread(target=sock.sendall, args=(down,))
        sender.start()
        go.wait(20 * PATIENCE)
        data = bytearray()
        while len(data) < len(up):
            data += sock.recv(100_000)
        taken.append(bytes(data))
        sender.join()
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(1):
            pass
    server = echo(talk)
    larder, client = tunnel_to(make, server.port)
    before = descriptors(larder)
    sender = threading.Thread(target=client.send, args=(up,))
    sender.start()
    # In pieces of all sizes, while the server takes nothing.
    got = bytearray()
    for i in range(400):
        got += client.exactly(1 + i * 37 % 9000)
    got += client.exactly(len(down) - len(got) - 1000)
    go.set()
    sender.join(20 * PATIENCE)
    got += client.exactly(1000)
    assert bytes(got) == down
    wait_for(lambda: taken, what="the server to have it all")
    assert taken[0] == up
    assert client.closed()
    client.close()
    # The two connections go, and of the pipes some are kept for the next.
    wait_for(lambda: descriptors(larder) <= before + 8 - 2, what="descriptors to be closed")


def test_urgent_data_in_bulk(make, echo):
    """splice(2) stops at it, and then says that this was the end."""
    body, tail = pattern(8_000_000), pattern(3000)
    go = threading.Event()

    def talk(sock):
        sock.sendall(body)
        sock.send(b"!", socket.MSG_OOB)
        sock.sendall(tail)
        go.wait(20 * PATIENCE)
    server = echo(talk)
    for ends in (False, True):
        go.clear()
        _, client = tunnel_to(make, server.port)
        if ends:
            go.set()
        # Who does not ask for it does not get the urgent byte (RFC 6093).
        assert client.exactly(len(body) + len(tail)) == body + tail
        go.set()
        assert client.closed()
        client.close()


def test_a_reset_in_the_midst_of_bulk(make, echo):
    """What stands in a pipe then goes with the tunnel; larder goes on."""
    def talk(sock):
        while True:
            sock.sendall(b"z" * 1_000_000)
    server = echo(talk)
    larder = make({"access": {"connect_ports": [server.port]}})
    name = f"127.0.0.1:{server.port}"
    before = descriptors(larder)
    for i in range(12):
        client = larder.client()
        client.send_head("CONNECT", name, host=name)
        assert client.response("CONNECT").status == 200
        client.exactly(200_000 + i * 1111)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    wait_for(lambda: descriptors(larder) <= before + 8, what="descriptors to be closed")


def test_port_not_allowed(larder, echo):
    server = echo(lambda sock: None)
    name = f"127.0.0.1:{server.port}"
    with larder.client() as client:
        client.send_head("CONNECT", name, host=name)
        answer = client.response()
        assert answer.status == 403
        assert "connect_ports" in answer.text, "names the rule"
    assert server.accepted == 0
    assert larder.access(name)[0].result == "TCP_DENIED"


def test_destination_not_allowed(make, echo):
    """Loopback is refused unless listed, for CONNECT as for every method."""
    server = echo(lambda sock: None)
    larder = make({"access": {"destinations": [], "connect_ports": [server.port]}})
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"):
        name = f"{host}:{server.port}"
        with larder.client() as client:
            client.send_head("CONNECT", name, host=name)
            answer = client.response()
            assert answer.status == 403, f"{name}: {answer}"
    assert server.accepted == 0


def test_refused_connection(make):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    larder = make({"access": {"connect_ports": [port]}})
    with larder.client() as client:
        client.send_head("CONNECT", f"127.0.0.1:{port}", host=f"127.0.0.1:{port}")
        answer = client.response()
        assert answer.status in (502, 503)
        assert answer.body


@pytest.mark.parametrize("target", [
    "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:x",
    ":443", "http://127.0.0.1:443/", "/path", "user@127.0.0.1:443"])
def test_bad_target(larder, target):
    """RFC 9112 3.2.3: authority form is host and port, nothing else."""
    with larder.client() as client:
        client.send_head("CONNECT", target, host="127.0.0.1")
        assert client.response().status == 400


def test_tunnel_is_closed_when_idle(make, echo):
    """timeouts.idle ends a tunnel through which nothing goes."""
    server = echo(lambda sock: sock.recv(1))
    _, client = tunnel_to(make, server.port, timeouts={"idle": "1s"})
    assert client.closed(within=8 * PATIENCE)


def test_http_1_0_connect(make, echo):
    server = echo(lambda sock: sock.sendall(b"hello"))
    larder = make({"access": {"connect_ports": [server.port]}})
    with larder.client() as client:
        client.send(f"CONNECT 127.0.0.1:{server.port} HTTP/1.0\r\n\r\n")
        assert client.response("CONNECT").status == 200
        assert client.exactly(5) == b"hello"
