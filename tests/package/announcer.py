#!/usr/bin/python3
"""The network of larder-client's tests: what is given as JSON on the command line.

    http: "answers", "silent" (accepts, and says nothing), "noise"
    dns, mdns: "srv" (a good answer), "nothing", "refuses", or hexadecimal bytes that
    are sent behind the query's identifier
"""
import json
import socket
import struct
import sys
import threading

WHAT = json.loads(sys.argv[1])
SERVICE = b"_apt_proxy._tcp"


def name(text):
    return b"".join(bytes([len(l)]) + l for l in text.split(b".")) + b"\0"


def record(owner, kind, data, ttl=60):
    return name(owner) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def answer(how, query):
    """A message, or None."""
    if how == "nothing":
        return None
    if how == "refuses":
        return query[:2] + b"\x81\x83" + query[4:6] + bytes(6) + query[12:]
    if how != "srv":
        return query[:2] + bytes.fromhex(how)
    asked = query[12:query.index(b"\0", 12) + 1]
    owner, at = [], 0
    while asked[at]:
        owner.append(asked[at + 1:at + 1 + asked[at]])
        at += 1 + asked[at]
    owner = b".".join(owner)
    kind = struct.unpack("!H", query[12 + len(asked):14 + len(asked)])[0]
    if not owner.startswith(SERVICE):
        return query[:2] + b"\x81\x83" + query[4:6] + bytes(6) + query[12:]
    records = [record(owner, 33, struct.pack("!HHH", 20, 0, 1) + name(b"worse.test")),
               record(owner, 33, struct.pack("!HHH", 10, 5, 3142) + name(b"larder.test")),
               record(b"larder.test", 1, bytes([127, 0, 0, 1]))]
    counts = (1, 1, 0, 2)
    if kind == 12:
        service = b"larder on host." + owner
        records = [record(owner, 12, name(service)),
                   record(service, 33, struct.pack("!HHH", 0, 0, 3142) + name(b"host.local")),
                   record(b"host.local", 1, bytes([127, 0, 0, 1]))]
    return query[:2] + b"\x84\x00" + struct.pack("!HHHH", *counts) + query[12:] + b"".join(records)


def datagrams(s, how):
    while True:
        query, peer = s.recvfrom(9000)
        reply = answer(how, query)
        if reply:
            s.sendto(reply, peer)


def http(s, how):
    held = []
    while True:
        c, _ = s.accept()
        held.append(c)
        if how == "answers":
            c.recv(4096)
            c.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        elif how == "noise":
            c.sendall(b"220 mail.test ESMTP\r\n")


def start(function, s, how):
    threading.Thread(target=function, args=(s, how), daemon=True).start()


if "http" in WHAT:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 3142))
    s.listen(16)
    start(http, s, WHAT["http"])
if "dns" in WHAT:
    s = socket.socket(type=socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 53))
    start(datagrams, s, WHAT["dns"])
if "mdns" in WHAT:
    s = socket.socket(type=socket.SOCK_DGRAM)
    s.bind(("", 5353))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                 socket.inet_aton("224.0.0.251") + socket.inet_aton("127.0.0.1"))
    start(datagrams, s, WHAT["mdns"])
print("ready", flush=True)
sys.stdin.read()
