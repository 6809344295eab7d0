"""larderd's command line and configuration: every mistake is named with file,
line and what would have been right."""
import os
import re
import subprocess

import pytest

from harness.daemon import LARDERD, larderd, sanitized

MINIMAL = '''listen = {"127.0.0.1:3999"}
cache { path = "%s/cache" }
'''


@pytest.fixture
def check(tmp_path):
    """Runs larderd -t over MINIMAL and the given text."""
    def run(text, minimal=True):
        conf = tmp_path / "larder.conf"
        head = MINIMAL % tmp_path if minimal else ""
        conf.write_text(head + text)
        done = larderd("-t", "-c", conf)
        return done, conf, head.count("\n")
    return run


def test_minimal_is_accepted(check):
    done, conf, _ = check("")
    assert done.returncode == 0, done.stderr


def test_contracts_example_is_accepted(check):
    """The configuration that CONTRACT shows, to the letter."""
    done, _, _ = check('''
listen       = {"0.0.0.0:3128", "[::]:3128", "0.0.0.0:3142"}   # "unix:/path" works too
workers      = 0                                # 0: one a CPU
admin_socket = "/run/larder/admin.sock"
access_log   = "/var/log/larder/access.log"     # "": none
log_level    = "info"

cache {
    path       = "/var/cache/larder"
    size       = "20G"                           # a hard budget, on the disk, all files in it counted
    memory     = "128M"                          # the tier in memory
    max_object = "10G"
    stale_if_error = "1d"                        # how long a stale object may stand in for a failing origin
}

access {
    clients       = {"127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10"}
    destinations  = {}                           # private, loopback and link-local ones are refused unless listed here
    connect_ports = {443}
}

timeouts { header = "10s"  idle = "60s"  connect = "10s"  response = "60s"  drain = "30s" }

site "mirror.example" { origin = "https://deb.example.org" }   # reverse proxy, by Host
site "*"              { origin = "http://127.0.0.1:8000"       # any other Host
                        targeted = "CDN-Cache-Control" }       # this site's CDN is larder (RFC 9213)
rule { match = "*/debian/pool/*"  immutable = true }           # by host and path; presets are made of these
''', minimal=False)
    assert done.returncode == 0, done.stderr


# text, the line of the mistake in it, words of which each must be in the message
# (alternatives by |)
MISTAKES = {
    "unknown-option": ('wokers = 2\n', 1, ["wokers", "workers"]),
    "unknown-option-in-section": ('\ncache {\n  path = "/x"\n  siez = "1G"\n}\n', 4,
                                  ["siez", "size"]),
    "unknown-section": ('timeout { idle = "1s" }\n', 1, ["timeout", "timeouts"]),
    "size-unit": ('cache {\n size = "20X"\n}\n', 2, ["20x", "k", "m", "g", "t"]),
    "size-unit-word": ('cache {\n size = "20 gigabytes"\n}\n', 2, ["size", "g"]),
    "size-empty": ('cache {\n size = ""\n}\n', 2, ["size"]),
    "size-negative": ('cache {\n size = "-1G"\n}\n', 2, ["size|-1g"]),
    "size-overflow": ('cache {\n size = "99999999999999T"\n}\n', 2, ["size|large|big"]),
    "size-zero": ('cache {\n size = "0"\n}\n', 2, ["size|at least"]),
    "time-unit": ('timeouts {\n idle = "60y"\n}\n', 2, ["60y", "ms", "s", "m", "h", "d"]),
    "time-word": ('timeouts {\n idle = "soon"\n}\n', 2, ["soon|idle"]),
    "time-negative": ('timeouts {\n idle = "-5s"\n}\n', 2, ["idle|-5s"]),
    "time-without-unit": ('timeouts {\n idle = "60"\n}\n', 2, ["60s|unit|ms"]),
    "listen-no-port": ('listen = {"127.0.0.1"}\n', 1, ["127.0.0.1", "port"]),
    "listen-bad-port": ('listen = {"127.0.0.1:99999"}\n', 1, ["99999|port"]),
    "listen-bad-address": ('listen = {"300.0.0.1:3128"}\n', 1, ["300.0.0.1"]),
    "listen-empty-list": ('listen = {}\n', 1, ["listen"]),
    "cidr-bad-bits": ('access {\n clients = {"10.0.0.0/33"}\n}\n', 2, ["10.0.0.0/33", "32"]),
    "cidr-bad-address": ('access {\n clients = {"10.0.0/8"}\n}\n', 2, ["10.0.0/8"]),
    "cidr-name": ('access {\n destinations = {"localhost"}\n}\n', 2, ["localhost"]),
    "connect-port-too-large": ('access {\n connect_ports = {70000}\n}\n', 2, ["70000", "65535"]),
    "connect-port-text": ('access {\n connect_ports = {https}\n}\n', 2, ["https"]),
    "missing-brace": ('cache {\n size = "1G"\n', None, ["}|brace|end"]),
    "extra-brace": ('workers = 1\n}\n', 2, ["}|brace|unexpected"]),
    "missing-quote": ('log_level = "info\n', None, ["quote|unterminated|\"|string"]),
    "missing-equals": ('workers 2\n', 1, ["=|workers"]),
    "wrong-type": ('workers = "two"\n', 1, ["workers", "number|integer|whole"]),
    "workers-negative": ('workers = -1\n', 1, ["workers"]),
    "workers-absurd": ('workers = 100000\n', 1, ["workers"]),
    "log-level": ('log_level = "verbose"\n', 1, ["verbose", "debug"]),
    "log-format": ('access_log_format = "apache"\n', 1, ["apache", "combined"]),
    "duplicate-site": ('site "a.test" { origin = "http://x.test" }\n'
                       'site "a.test" { origin = "http://y.test" }\n', 2, ["a.test"]),
    "duplicate-site-other-case": ('site "a.test" { origin = "http://x.test" }\n'
                                  'site "A.TEST" { origin = "http://y.test" }\n', 2,
                                  ["a.test"]),
    "site-without-origin": ('\nsite "a.test" { }\n', 2, ["a.test", "origin"]),
    "site-without-name": ('site { origin = "http://x.test" }\n', 1, ["site"]),
    "site-empty-name": ('site "" { origin = "http://x.test" }\n', 1, ["site"]),
    "origin-no-scheme": ('site "a.test" {\n origin = "x.test"\n}\n', 2, ["x.test", "http"]),
    "origin-other-scheme": ('site "a.test" {\n origin = "ftp://x.test"\n}\n', 2,
                            ["ftp", "http"]),
    "origin-bad-port": ('site "a.test" {\n origin = "http://x.test:0x50"\n}\n', 2,
                        ["x.test|port"]),
    "origin-with-userinfo": ('site "a.test" {\n origin = "http://u:p@x.test"\n}\n', 2,
                             ["origin|user"]),
    "cache-path-empty": ('cache {\n path = ""\n}\n', 2, ["path"]),
    "binary": ("\x01\x02\x03\n", None, []),
    "nul": ("workers = 1\0\n", None, []),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(check, name):
    text, line, words = MISTAKES[name]
    # Sections in MINIMAL must not stand twice
    own = text.lstrip().startswith(("cache", "listen"))
    done, conf, before = check(text if not own else text + 'log_level = "info"\n',
                               minimal=not own)
    message = done.stdout + done.stderr
    assert done.returncode == 1, f"accepted, or ended oddly: {done}"
    assert str(conf) in message, message
    if line:
        assert f"{conf}:{before + line}" in message or \
            re.search(rf"line {before + line}\b", message), \
            f"line {before + line} is not named:\n{message}"
    low = message.lower().replace(str(conf).lower(), "")
    for word in words:
        assert any(w in low for w in word.split("|")), f"{word!r} is not in:\n{message}"
    assert len(message.splitlines()) <= 4, f"one mistake, one message:\n{message}"


def test_mistake_stops_the_start(tmp_path):
    conf = tmp_path / "bad.conf"
    conf.write_text("wokers = 1\n")
    done = larderd("-c", conf)
    assert done.returncode == 1 and "workers" in done.stderr
    assert f"{conf}:1" in done.stderr


def test_missing_file(tmp_path):
    done = larderd("-t", "-c", tmp_path / "none.conf")
    assert done.returncode == 1
    assert "none.conf" in done.stderr and "No such file" in done.stderr


def test_folder_for_a_file(tmp_path):
    done = larderd("-t", "-c", tmp_path)
    assert done.returncode == 1 and str(tmp_path) in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path):
    conf = tmp_path / "c.conf"
    conf.write_text("")
    conf.chmod(0)
    done = larderd("-t", "-c", conf)
    assert done.returncode == 1 and "ermission" in done.stderr


def test_check_touches_nothing(tmp_path, check):
    """-t is what an administrator runs beside a running daemon."""
    done, _, _ = check("")
    assert done.returncode == 0
    assert not (tmp_path / "cache").exists()


def test_effective_configuration(tmp_path, check):
    """-n prints every default; -t accepts what it prints, and -n prints the
    same again."""
    _, conf, _ = check('site "a.test" { origin = "https://b.test" }\n'
                       'rule { match = "*/pool/*"  immutable = true }\n')
    done = larderd("-n", "-c", conf)
    assert done.returncode == 0, done.stderr
    for option in ("listen", "workers", "admin_socket", "access_log", "log_level",
                   "path", "size", "memory", "max_object", "stale_if_error", "clients",
                   "destinations", "connect_ports", "header", "idle", "connect",
                   "response", "drain", "a.test", "https://b.test", "*/pool/*"):
        assert option in done.stdout, option
    again = tmp_path / "again.conf"
    again.write_text(done.stdout)
    checked = larderd("-t", "-c", again)
    assert checked.returncode == 0, checked.stderr
    assert larderd("-n", "-c", again).stdout == done.stdout


def test_version():
    done = larderd("-V")
    assert done.returncode == 0
    assert re.search(r"larder\S* \d+\.\d+", done.stdout)


@pytest.mark.parametrize("args", [["-x"], ["-c"], ["word"], ["-t", "extra"]])
def test_usage_errors(args):
    done = larderd(*args)
    assert done.returncode == 2, done
    assert done.stderr and not done.stdout


@pytest.mark.parametrize("size,ok", [("64M", True), ("1T", True), ("1073741824", True),
                                     ("512K", None)])
def test_sizes(check, size, ok):
    done, _, _ = check(f'cache {{ path = "/x"  size = "{size}" }}\n', minimal=False)
    if ok is None:
        # Too small to work with: told, or taken; never a crash.
        assert done.returncode in (0, 1)
    else:
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("value", ["500ms", "1500ms", "5s", "2m", "1h"])
def test_times(check, value):
    done, _, _ = check(f'timeouts {{ connect = "{value}" }}\n')
    assert done.returncode == 0, done.stderr


def test_comments(check):
    done, _, _ = check("# hash\n// slashes\n/* block\n of lines */\nworkers = 1 # tail\n")
    assert done.returncode == 0, done.stderr


def test_messages_go_to_stderr_without_a_terminal(tmp_path):
    """No colours, no prompt, no progress in what cron mails."""
    conf = tmp_path / "bad.conf"
    conf.write_text("wokers = 1\n")
    done = larderd("-t", "-c", conf)
    assert done.returncode == 1 and done.stderr
    assert not done.stdout and "\x1b" not in done.stderr


@pytest.mark.skipif(sanitized(), reason="a sanitizer needs its own limits")
def test_descriptor_limit_is_raised(make):
    """To the hard limit, so that an office fits in."""
    larder = make()
    with open(f"/proc/{larder.pid}/limits") as f:
        soft, hard = re.search(r"Max open files\s+(\S+)\s+(\S+)", f.read()).groups()
    assert soft == hard


def test_more_connections_than_descriptors(make, origin, path):
    """EMFILE: accepting pauses and goes on; it neither spins nor ends."""
    import socket
    import time
    from harness.daemon import wait_for
    from harness.origin import Reply
    larder = make(start=False)
    larder.binary = larder.folder / "limited"
    larder.binary.write_text(f"#!/bin/sh\nulimit -n 120\nexec {LARDERD} \"$@\"\n")
    larder.binary.chmod(0o755)
    larder.start()
    socks = []
    for _ in range(200):
        socks.append(socket.create_connection(larder.address, 5))
    time.sleep(0.5)

    def cpu():
        with open(f"/proc/{larder.pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    before = cpu()
    time.sleep(1)
    assert cpu() - before < 0.5, "it spins"
    for sock in socks:
        sock.close()
    url = origin.on(path, Reply("x"))
    wait_for(lambda: larder.get(url).body == b"x", 10, what="an answer again")
