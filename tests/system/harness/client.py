"""A raw HTTP/1.1 client that takes nothing on trust.

It parses what comes back by the letter of RFC 9112 and raises where a message
is malformed (BadMessage) or ended before its end (Aborted), so that a test
which gets a Response knows that the message was whole.
"""
import re
import socket
import ssl

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
STATUS_LINE = re.compile(rb"HTTP/(1\.[01]) ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)\Z")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
MAX_LINE = 1 << 20


class BadMessage(Exception):
    """The peer sent what RFC 9112 does not allow."""


class Aborted(Exception):
    """The connection ended inside a message, or before one."""


class Response:
    """One final response, with the interim ones that came before it."""

    def __init__(self, version, status, reason, fields):
        self.version = version
        self.status = status
        self.reason = reason
        self.fields = fields
        self.body = b""
        self.trailers = []
        self.interim = []
        self.framing = "none"

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, default=None):
        """The field's combined value (RFC 9110 5.3)."""
        values = self.all(name)
        return ", ".join(values) if values else default

    def __contains__(self, name):
        return bool(self.all(name))

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    @property
    def age(self):
        values = self.all("Age")
        assert len(values) <= 1, f"more than one Age: {values}"
        return int(values[0]) if values else None

    @property
    def cache_status(self):
        """Parameters of larder's own member of Cache-Status (RFC 9211)."""
        for member in reversed(split_list(self.get("Cache-Status", ""))):
            parts = [p.strip() for p in split_quoted(member, ";")]
            if parts[0].strip('"').split("/")[0] == "larder":
                found = {}
                for part in parts[1:]:
                    key, _, value = part.partition("=")
                    found[key] = value.strip('"') if value else True
                return found
        return {}

    @property
    def hit(self):
        status = self.cache_status
        assert not ("hit" in status and "fwd" in status), \
            "hit and fwd exclude each other (RFC 9211 2.1)"
        return bool(status.get("hit"))

    def __repr__(self):
        lines = [f"HTTP/{self.version} {self.status} {self.reason}"]
        lines += [f"{n}: {v}" for n, v in self.fields]
        return "\n".join(lines) + f"\n\n[{len(self.body)} bytes] {self.body[:300]!r}"


def split_quoted(text, separator):
    """Splits outside of quoted strings."""
    parts, current, quoted, escaped = [], "", False, False
    for char in text:
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == separator and not quoted:
            parts.append(current)
            current = ""
            continue
        current += char
    parts.append(current)
    return parts


def split_list(text):
    return [m.strip() for m in split_quoted(text, ",") if m.strip()]


class Client:
    """One connection. `address` is (host, port), a path, or a socket."""

    def __init__(self, address, timeout=20, receive_buffer=None, source=None):
        if isinstance(address, socket.socket):
            self.sock = address
        elif isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(address)
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            self.sock = socket.socket(family)
            if receive_buffer:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF,
                                     receive_buffer)
            if source:
                self.sock.bind((source, 0))
            self.sock.settimeout(timeout)
            self.sock.connect(address)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(timeout)
        self.buffer = b""
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def start_tls(self, context, name):
        """Inside a CONNECT tunnel."""
        assert not self.buffer, "bytes before the handshake"
        self.sock = context.wrap_socket(self.sock, server_hostname=name)

    # -- sending ---------------------------------------------------------
    def send(self, data):
        if isinstance(data, str):
            data = data.encode("latin-1")
        self.sock.sendall(data)

    def send_head(self, method, target, fields=(), version="1.1", host=None):
        """A head; Host is taken from an absolute target unless given."""
        fields = list(fields.items() if isinstance(fields, dict) else fields)
        if host is None and not any(n.lower() == "host" for n, _ in fields):
            match = re.match(r"[a-z]+://([^/]*)", target)
            host = match.group(1) if match else "site.test"
        lines = [f"{method} {target} HTTP/{version}"]
        if host and not any(n.lower() == "host" for n, _ in fields):
            lines.append(f"Host: {host}")
        lines += [f"{n}: {v}" for n, v in fields]
        self.send("\r\n".join(lines) + "\r\n\r\n")

    def request(self, method, target, fields=(), body=None, version="1.1",
                host=None):
        """Sends one request and returns its whole response."""
        fields = list(fields.items() if isinstance(fields, dict) else fields)
        if body is not None:
            fields.append(("Content-Length", str(len(body))))
        self.send_head(method, target, fields, version, host)
        if body:
            self.send(body)
        return self.response(method)

    def get(self, target, fields=(), **kw):
        return self.request("GET", target, fields, **kw)

    # -- receiving -------------------------------------------------------
    def fill(self):
        """More bytes into the buffer; False at an orderly end."""
        if self.ended:
            return False
        try:
            data = self.sock.recv(1 << 16)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError) as e:
            self.ended = True
            raise Aborted(f"connection failed: {e!r}") from e
        if not data:
            self.ended = True
            return False
        self.buffer += data
        return True

    def line(self):
        while (end := self.buffer.find(b"\n")) < 0:
            if len(self.buffer) > MAX_LINE:
                raise BadMessage("endless line")
            if not self.fill():
                raise Aborted(f"end inside a line, after {self.buffer[:80]!r}")
        line, self.buffer = self.buffer[:end], self.buffer[end + 1:]
        if not line.endswith(b"\r"):
            raise BadMessage(f"bare LF: {line!r}")
        line = line[:-1]
        if b"\r" in line or b"\0" in line:
            raise BadMessage(f"CR or NUL inside a line: {line!r}")
        return line

    def fields(self):
        found = []
        while (line := self.line()):
            name, colon, value = line.partition(b":")
            if not colon or not TOKEN.match(name):
                raise BadMessage(f"field name: {line!r}")
            value = value.strip(b" \t")
            if not VALUE.match(value):
                raise BadMessage(f"field value: {line!r}")
            found.append((name.decode(), value.decode("latin-1")))
        return found

    def head(self):
        """Status line and fields of the next message, interim ones too."""
        line = self.line()
        match = STATUS_LINE.match(line)
        if not match:
            raise BadMessage(f"status line: {line!r}")
        return Response(match[1].decode(), int(match[2]), match[3].decode("latin-1"),
                        self.fields())

    def take(self, limit):
        """Between 1 and `limit` bytes, or b"" at the end."""
        if not self.buffer and not self.fill():
            return b""
        data, self.buffer = self.buffer[:limit], self.buffer[limit:]
        return data

    def exactly(self, count):
        parts = []
        while count:
            data = self.take(count)
            if not data:
                raise Aborted(f"{count} bytes missing")
            parts.append(data)
            count -= len(data)
        return b"".join(parts)

    def body(self, response, method):
        """Yields the body's pieces as they come (RFC 9112 6.3)."""
        lengths = response.all("Content-Length")
        codings = response.all("Transfer-Encoding")
        if method == "HEAD" or response.status in (204, 304):
            if codings and response.status == 204:
                raise BadMessage("Transfer-Encoding in a 204")
            return
        if method == "CONNECT" and response.status // 100 == 2:
            return
        if codings:
            if lengths:
                raise BadMessage("Content-Length beside Transfer-Encoding")
            if [c.lower() for c in codings] != ["chunked"]:
                raise BadMessage(f"Transfer-Encoding: {codings}")
            if response.version != "1.1":
                raise BadMessage("chunked in HTTP/1.0")
            response.framing = "chunked"
            while True:
                size = self.line().split(b";")[0].strip()
                if not re.match(rb"[0-9A-Fa-f]{1,15}\Z", size):
                    raise BadMessage(f"chunk size: {size!r}")
                left = int(size, 16)
                if not left:
                    break
                while left:
                    data = self.take(left)
                    if not data:
                        raise Aborted("end inside a chunk")
                    left -= len(data)
                    yield data
                if self.exactly(2) != b"\r\n":
                    raise BadMessage("chunk without its CRLF")
            response.trailers = self.fields()
        elif lengths:
            if len(lengths) != 1 or not re.match(r"[0-9]+\Z", lengths[0]):
                raise BadMessage(f"Content-Length: {lengths}")
            response.framing = "length"
            left = int(lengths[0])
            while left:
                data = self.take(left)
                if not data:
                    raise Aborted(f"{left} of {lengths[0]} bytes missing")
                left -= len(data)
                yield data
        else:
            response.framing = "close"
            while data := self.take(1 << 16):
                yield data

    def final_head(self):
        """The next head that is not an interim response."""
        interim = []
        while True:
            head = self.head()
            if head.status >= 200:
                break
            interim.append(head)
        head.interim = interim
        return head

    def response(self, method="GET"):
        """The next final response, whole."""
        response = self.final_head()
        response.body = b"".join(self.body(response, method))
        return response

    def closed(self, within=5):
        """True if the peer ends the connection without another byte."""
        self.sock.settimeout(within)
        try:
            return not self.buffer and not self.fill()
        except Aborted:
            return True
        except TimeoutError:
            return False
