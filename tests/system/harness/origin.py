"""An origin that answers anything: honest, slow, lying or broken.

A handler is a callable of one Exchange. It returns a Reply, or None after
it has written to the connection itself.
"""
import email.utils
import random
import socket
import ssl
import struct
import threading
import time


def http_date(offset=0, base=None):
    return email.utils.formatdate((base or time.time()) + offset, usegmt=True)


class Request:
    def __init__(self, method, target, version, fields, raw):
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
        self.raw = raw
        self.body = b""
        self.trailers = []

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name, default=None):
        values = self.all(name)
        return ", ".join(values) if values else default

    def __contains__(self, name):
        return bool(self.all(name))

    def __repr__(self):
        return self.raw.decode("latin-1")


class Reply:
    """What to answer. framing: length, chunked, close or none.

    cut:    end after so many body bytes (reset=True: by RST)
    length: the Content-Length that is claimed, true or not
    pace:   (bytes, seconds): the body in pieces with a rest between
    """

    def __init__(self, body=b"", status=200, fields=(), reason="Reason",
                 framing="length", length=None, cut=None, reset=False,
                 pace=None, delay=0, interim=(), trailers=(), date=True,
                 version="1.1", close=False):
        self.body = body.encode() if isinstance(body, str) else body
        self.status = status
        self.fields = list(fields.items() if isinstance(fields, dict) else fields)
        self.reason = reason
        self.framing = framing
        self.length = length
        self.cut = cut
        self.reset = reset
        self.pace = pace
        self.delay = delay
        self.interim = interim
        self.trailers = trailers
        self.date = date
        self.version = version
        self.close = close

    def __call__(self, exchange):
        return self


class Exchange:
    """One request on a connection, and the means to answer it."""

    def __init__(self, origin, sock, request, reader):
        self.origin = origin
        self.sock = sock
        self.request = request
        self.reader = reader
        self.close = False
        self.body_read = False

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def head(self, status, fields=(), reason="Reason", version="1.1"):
        fields = fields.items() if isinstance(fields, dict) else fields
        self.send(f"HTTP/{version} {status} {reason}\r\n"
                  + "".join(f"{n}: {v}\r\n" for n, v in fields) + "\r\n")

    def chunk(self, data):
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def reset(self):
        """Ends by RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.close = True

    def read_body(self):
        """The request's body (RFC 9112 6); kept in request.body."""
        if self.body_read:
            return self.request.body
        self.body_read = True
        request, parts = self.request, []
        if request.get("Expect", "").lower() == "100-continue":
            self.head(100, reason="Continue")
        if "chunked" in request.get("Transfer-Encoding", "").lower():
            while True:
                size = int(self.reader.readline().split(b";")[0], 16)
                if not size:
                    break
                parts.append(self.reader.read(size))
                assert self.reader.read(2) == b"\r\n", "chunk without its CRLF"
            while (line := self.reader.readline().strip()):
                name, _, value = line.decode("latin-1").partition(":")
                request.trailers.append((name, value.strip()))
        elif "Content-Length" in request:
            parts.append(self.reader.read(int(request.get("Content-Length"))))
        request.body = b"".join(parts)
        return request.body

    def reply(self, reply):
        body, fields = reply.body, list(reply.fields)
        names = {n.lower() for n, _ in fields}
        if reply.delay:
            time.sleep(reply.delay)
        for status, extra in reply.interim:
            self.head(status, extra, "Interim")
        if reply.date and "date" not in names:
            fields.append(("Date", http_date()))
        bodiless = self.request.method == "HEAD" or reply.status in (204, 304)
        if reply.framing == "length" and "content-length" not in names:
            if reply.length is not None or reply.status not in (204, 304):
                fields.append(("Content-Length", reply.length
                               if reply.length is not None else len(body)))
        elif reply.framing == "chunked" and reply.status not in (204, 304):
            fields.append(("Transfer-Encoding", "chunked"))
        if reply.framing == "close" or reply.close:
            fields.append(("Connection", "close"))
            self.close = True
        self.head(reply.status, fields, reply.reason, reply.version)
        if bodiless:
            return
        if reply.cut is not None:
            body = body[:reply.cut]
            self.close = True
        size, rest = reply.pace or (len(body) or 1, 0)
        for at in range(0, len(body), size):
            piece = body[at:at + size]
            self.chunk(piece) if reply.framing == "chunked" else self.send(piece)
            if rest:
                time.sleep(rest)
        if reply.framing == "chunked" and reply.cut is None:
            self.send("0\r\n" + "".join(f"{n}: {v}\r\n" for n, v in reply.trailers)
                      + "\r\n")
        if reply.reset:
            time.sleep(0.1)  # let what was sent be read before the RST
            self.reset()


class Resource:
    """A well-behaved resource: validators, conditional requests, ranges."""

    def __init__(self, body, fields=(), etag=None, modified=None, ranges=True):
        self.body = body.encode() if isinstance(body, str) else body
        self.fields = list(fields.items() if isinstance(fields, dict) else fields)
        self.etag = etag
        self.modified = modified
        self.ranges = ranges
        self.not_modified_fields = []

    def __call__(self, exchange):
        request, fields = exchange.request, list(self.fields)
        if self.etag:
            fields.append(("ETag", self.etag))
        if self.modified:
            fields.append(("Last-Modified", self.modified))
        match = request.get("If-None-Match")
        since = request.get("If-Modified-Since")
        if match is not None:
            tags = [t.strip().removeprefix("W/") for t in match.split(",")]
            same = self.etag and self.etag.removeprefix("W/") in tags
        else:
            same = since is not None and self.modified and \
                email.utils.parsedate_to_datetime(since) >= \
                email.utils.parsedate_to_datetime(self.modified)
        if same:
            return Reply(status=304, fields=fields + self.not_modified_fields)
        wanted = request.get("Range")
        if wanted and self.ranges and wanted.startswith("bytes=") and "," not in wanted:
            if_range = request.get("If-Range")
            if if_range in (None, self.etag, self.modified):
                first, _, last = wanted[6:].partition("-")
                size = len(self.body)
                start = int(first) if first else max(0, size - int(last))
                end = min(int(last), size - 1) if first and last else size - 1
                if start > end:
                    return Reply(status=416, fields=[
                        ("Content-Range", f"bytes */{size}")])
                return Reply(self.body[start:end + 1], 206, fields + [
                    ("Content-Range", f"bytes {start}-{end}/{size}")])
        if self.ranges:
            fields.append(("Accept-Ranges", "bytes"))
        return Reply(self.body, fields=fields)


class Origin:
    """A server on a free loopback port. Every request is recorded."""

    def __init__(self, tls=None, host="127.0.0.1", port=0):
        self.tls = tls
        self.host = host
        self.handlers = {}
        self.default = Reply("not here", 404)
        self.requests = []
        self.connections = 0
        self.errors = []
        self.lock = threading.Lock()
        self.open = set()
        self.port = port
        self.listener = None
        self.start()

    def start(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.host, self.port))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,),
                         daemon=True).start()

    def stop(self):
        """Refuses connections from now on and ends those that are open."""
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        self.drop()

    def drop(self):
        """Ends the connections that are open."""
        with self.lock:
            socks = list(self.open)
        for sock in socks:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    @property
    def authority(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def url(self, path, host=None):
        scheme = "https" if self.tls else "http"
        authority = f"{host}:{self.port}" if host else self.authority
        return f"{scheme}://{authority}{path}"

    def on(self, path, handler):
        """Answers `path` (query not counted) with a handler or a Reply."""
        self.handlers[path] = handler
        return self.url(path)

    def seen(self, path):
        """The requests for this path, in order."""
        with self.lock:
            return [r for r in self.requests if r.target.split("?")[0] == path]

    def count(self, path):
        return len(self.seen(path))

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connection, args=(sock,),
                             daemon=True).start()

    def _connection(self, sock):
        with self.lock:
            self.connections += 1
            self.open.add(sock)
        raw = sock
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            reader = sock.makefile("rb")
            while self._exchange(sock, reader):
                pass
        except (OSError, ValueError, ssl.SSLError, AssertionError) as e:
            self.errors.append(e)
        finally:
            with self.lock:
                self.open.discard(raw)
            try:
                reader.close()
            except (NameError, OSError):
                pass
            sock.close()

    def _exchange(self, sock, reader):
        line = reader.readline()
        if not line:
            return False
        raw = line
        method, target, version = line.decode("latin-1").split()
        fields = []
        while (line := reader.readline()) not in (b"\r\n", b""):
            raw += line
            name, _, value = line.decode("latin-1").rstrip("\r\n").partition(":")
            fields.append((name, value.strip()))
        request = Request(method, target, version, fields, raw)
        with self.lock:
            self.requests.append(request)
        exchange = Exchange(self, sock, request, reader)
        handler = self.handlers.get(target.split("?")[0], self.default)
        if not getattr(handler, "reads_body", False):
            exchange.read_body()
        reply = handler(exchange)
        if reply is not None:
            exchange.reply(reply)
        if "close" in request.get("Connection", "").lower():
            exchange.close = True
        return not exchange.close


def reads_body(handler):
    """Marks a handler that reads the request's body itself."""
    handler.reads_body = True
    return handler


def pattern(size, seed=0):
    """Bytes that do not compress, the same for the same seed."""
    return random.Random(seed).randbytes(size)
