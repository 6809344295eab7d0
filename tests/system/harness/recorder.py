"""An origin that keeps every byte it gets and cuts it by the letter of RFC 9112:
what arrives is a row of well-formed requests, or it is said what was wrong."""
import re
import socket
import threading
import time

REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (/[!-\x7e]*|\*) HTTP/1\.1\Z")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([!-~\x80-\xff]([\t -~\x80-\xff]*[!-~\x80-\xff])?)?\Z")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: no-store\r\n\r\nok"


class Malformed(Exception):
    pass


class Last(bytes):
    """An answer behind which the connection ends."""


class Slow(bytes):
    """An answer that comes a byte at a time, with a rest between."""

    def __new__(cls, data, rest):
        made = super().__new__(cls, data)
        made.rest = rest
        return made


class Seen:
    """One whole request."""

    def __init__(self, method, target, fields, body, trailers):
        self.method, self.target, self.fields = method, target, fields
        self.body, self.trailers = body, trailers

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def __repr__(self):
        return f"{self.method} {self.target} {self.fields} {self.body!r} {self.trailers}"


class Recorder:
    """Answers each whole request with `answer`: bytes, or a function of the Seen that
    returns bytes, or None for the end."""

    def __init__(self, answer=OK):
        self.answer = answer
        self.lock = threading.Lock()
        self.seen, self.wrong, self.bytes = [], [], []
        self.connections = 0
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.authority = "127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def forget(self):
        with self.lock:
            self.seen, self.wrong, self.bytes = [], [], []

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        reader = Reader(sock, self)
        try:
            while (seen := reader.request()) is not None:
                with self.lock:
                    self.seen.append(seen)
                answer = self.answer(seen) if callable(self.answer) else self.answer
                if answer is None:
                    break
                if isinstance(answer, Slow):
                    for byte in answer:
                        sock.sendall(bytes([byte]))
                        time.sleep(answer.rest)
                else:
                    sock.sendall(answer)
                if isinstance(answer, Last):
                    break
        except Malformed as e:
            with self.lock:
                self.wrong.append(str(e))
        except OSError:
            pass
        finally:
            sock.close()


class Reader:
    def __init__(self, sock, recorder):
        self.sock, self.recorder, self.buffer = sock, recorder, b""

    def fill(self):
        try:
            data = self.sock.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        with self.recorder.lock:
            if data:
                self.recorder.bytes.append(data)
        self.buffer += data
        return bool(data)

    def line(self):
        while b"\n" not in self.buffer:
            if not self.fill():
                return None
        line, self.buffer = self.buffer.split(b"\n", 1)
        if not line.endswith(b"\r"):
            raise Malformed(f"bare LF: {line!r}")
        return line[:-1]

    def exactly(self, size):
        while len(self.buffer) < size:
            if not self.fill():
                return None
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def fields(self):
        found = []
        while (line := self.line()):
            match = FIELD.match(line)
            if not match:
                raise Malformed(f"field line {line!r}")
            found.append((match[1].decode(), (match[2] or b"").decode("latin-1")))
        return None if line is None else found

    def chunks(self):
        """(body, trailers), or None where it ended before its end."""
        body = b""
        while True:
            size = self.line()
            if size is None:
                return None
            if not re.match(rb"[0-9a-f]{1,16}\Z", size):
                raise Malformed(f"chunk size {size!r}")
            if int(size, 16) == 0:
                trailers = self.fields()
                return None if trailers is None else (body, trailers)
            data = self.exactly(int(size, 16) + 2)
            if data is None:
                return None
            if data[-2:] != b"\r\n":
                raise Malformed(f"behind a chunk: {data[-2:]!r}")
            body += data[:-2]

    def request(self):
        """The next whole request; None at the end, be it in the middle of one."""
        line = self.line()
        if line is None:
            return None
        match = REQUEST_LINE.match(line)
        if not match:
            raise Malformed(f"request line {line!r}")
        fields = self.fields()
        if fields is None:
            return None
        seen = Seen(match[1].decode(), match[2].decode(), fields, b"", [])
        if len(seen.all("Host")) != 1:
            raise Malformed(f"Host: {seen.all('Host')}")
        codings, lengths = seen.all("Transfer-Encoding"), seen.all("Content-Length")
        if codings and (codings != ["chunked"] or lengths):
            raise Malformed(f"framing: {codings} {lengths}")
        if codings:
            got = self.chunks()
            if got is None:
                return None
            seen.body, seen.trailers = got
        elif lengths:
            if len(lengths) != 1 or not re.match(r"(0|[1-9][0-9]*)\Z", lengths[0]):
                raise Malformed(f"Content-Length: {lengths}")
            seen.body = self.exactly(int(lengths[0]))
            if seen.body is None:
                return None
        return seen
