"""The origin, larder, and its peers as their own experts would set them up: one
worker each, pinned, no access log, a cache on disk where they have one."""
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import time

from machine import GiB, LOAD_CORE, MiB, PEER_CORE, Connection, Process, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
LARDERD = os.path.abspath(os.environ.get("LARDERD", ROOT / "build/larderd"))
LARDERCTL = os.path.abspath(os.environ.get("LARDERCTL", ROOT / "build/larderctl"))
TOOLS = pathlib.Path(os.environ.get("BENCH_TOOLS", ROOT / "build/gcc/tests/bench")).absolute()
OBJECTS = 1000
BIG = 64 * MiB

NGINX_HEAD = """daemon off; master_process off; worker_processes 1; pid {folder}/pid;
error_log {folder}/error.log error;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
  access_log off; tcp_nodelay on; sendfile on;
  keepalive_requests 100000000; keepalive_timeout 300s; default_type text/plain;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
"""


# -- what there is to be cached ------------------------------------------------
def size_of(i):
    """1 to 16 KiB, spread over the objects."""
    return 1024 + (i * 7919) % (15 * 1024 + 1)


def text(i, size):
    """Words, some of them often: compresses about as pages do."""
    r = random.Random(i)
    words = [hashlib.sha256(f"{i} {n}".encode()).hexdigest()[:r.randrange(3, 12)]
             for n in range(200)]
    out, n = [], 0
    while n < size:
        out.append(words[int(r.paretovariate(0.6)) % 200])
        n += len(out[-1]) + 1
    return " ".join(out)[:size].encode()


def is_text(i):
    return i % 2 == 0


def content(i):
    """Of /o/i: half of them text, half of them not to be compressed."""
    return text(i, size_of(i)) if is_text(i) else random.Random(i).randbytes(size_of(i))


def known_objects():
    return [(f"/o/{i}", content(i)) for i in range(OBJECTS)]


UNIQUE = random.Random(8).randbytes(8192)
SMALL = random.Random(2).randbytes(2048)


# -- the origin ------------------------------------------------------------------
class Origin(Process):
    """/o/N; /unique/ANY and /stale/ANY of 8 KiB, the second fresh for a second;
    /small/ANY of 2 KiB; /bin/ANY and /text/ANY of 64 MiB; /slow/ANY of 50 MiB at
    10 MB/s. It must not be what limits the peers."""

    def __init__(self, folder):
        self.counted = 0
        port = free_port()
        files = folder / "files/o"
        files.mkdir(parents=True)
        for path, body in known_objects():
            (files / path[3:]).write_bytes(body)
        for name, body in (("8k", UNIQUE), ("2k", SMALL)):
            (folder / "files" / name).write_bytes(body)
        block = random.Random(1).randbytes(MiB)
        with open(folder / "files/bin", "wb") as f:
            for i in range(BIG // MiB):
                f.write(i.to_bytes(8, "big") + block[8:])
        with open(folder / "files/text", "wb") as f:
            for i in range(BIG // MiB):
                f.write(text(i % 8, MiB))
        with open(folder / "files/slow", "wb") as f:
            for i in range(50):
                f.write(i.to_bytes(8, "big") + block[8:])
        binary = "default_type application/octet-stream;"
        fresh = 'add_header Cache-Control "max-age=3600";'
        (folder / "conf").write_text(NGINX_HEAD.format(folder=folder) + f"""
  open_file_cache max=2000 inactive=600s; open_file_cache_valid 600s;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}/files;
    location ~ "^/o/[0-9]*[13579]$" {{ {binary} {fresh} }}
    location /o/ {{ {fresh} }}
    location /unique/ {{ {binary} {fresh} rewrite ^ /8k break; }}
    location /small/ {{ {binary} {fresh} rewrite ^ /2k break; }}
    location /stale/ {{ {binary} add_header Cache-Control "max-age=1"; rewrite ^ /8k break; }}
    location /bin/ {{ {binary} {fresh} rewrite ^ /bin break; }}
    location /text/ {{ {fresh} rewrite ^ /text break; }}
    location /slow/ {{ {binary} {fresh} limit_rate 10m; rewrite ^ /slow break; }}
    location = /count {{ stub_status; access_log off; }}
  }}
}}
""")
        super().__init__("origin", ["nginx", "-c", folder / "conf", "-p", folder], folder, port,
                         (LOAD_CORE,))

    def count(self):
        """Requests it has answered, less those for the count itself."""
        said = self.get("/count").decode()
        self.counted += 1
        return int(said.split()[9]) - self.counted


# -- larder, its peers, and the limit ----------------------------------------------
def larder(folder, upstream, memory=128 * MiB, size="16G", workers=1, cores=(PEER_CORE,),
           sites=True, binary=(LARDERD,), wait=30):
    port = free_port()
    site = f'site "*" {{ origin = "http://127.0.0.1:{upstream}" }}' if sites else ""
    (folder / "larder.conf").write_text(f'''
listen = {{"127.0.0.1:{port}"}}
workers = {workers}
admin_socket = "{folder}/admin.sock"
access_log = ""
log_level = "warn"
cache {{ path = "{folder}/cache"  size = "{size}"  memory = "{memory}" }}
access {{ destinations = {{"127.0.0.0/8"}}  connect_ports = {{{upstream}}} }}
limits {{ client_share = 100 }}
{site}
''')
    return Process("larder", [*binary, "-c", folder / "larder.conf"], folder, port, cores,
                   wait=wait)


def larderctl(server, *words):
    return subprocess.run([LARDERCTL, "-s", str(server.folder / "admin.sock"), *words],
                          capture_output=True, text=True, check=True).stdout


def nginx(folder, upstream, memory=0, files=True):
    port = free_port()
    cache = "open_file_cache max=20000 inactive=600s; open_file_cache_valid 600s;"
    (folder / "conf").write_text(NGINX_HEAD.format(folder=folder) + f"""
  proxy_cache_path {folder}/cache levels=1:2 keys_zone=z:64m max_size=16g inactive=1d
    use_temp_path=off;
  {cache if files else ""}
  upstream o {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache z; proxy_cache_lock on; proxy_cache_lock_timeout 60s; proxy_cache_lock_age 60s;
      proxy_cache_revalidate on; proxy_max_temp_file_size 1024m; }}
  }}
}}
""")
    return Process("nginx", ["nginx", "-c", folder / "conf", "-p", folder], folder, port)


def trafficserver(folder, upstream, memory=128 * MiB):
    port = free_port()
    for sub in ("etc", "run", "log", "cache"):
        (folder / sub).mkdir()
    (folder / "runroot.yaml").write_text(f"""prefix: /usr
exec_prefix: /usr
bindir: /usr/bin
sbindir: /usr/sbin
sysconfdir: {folder}/etc
datadir: {folder}/cache
includedir: /usr/include
libdir: /usr/lib
libexecdir: /usr/lib/trafficserver/modules
localstatedir: {folder}
runtimedir: {folder}/run
logdir: {folder}/log
cachedir: {folder}/cache
""")
    for file in pathlib.Path("/etc/trafficserver").iterdir():
        if file.is_file() and file.name not in ("records.config", "remap.config",
                                                "storage.config"):
            shutil.copy(file, folder / "etc")
    (folder / "etc/records.config").write_text(f"""
CONFIG proxy.config.http.server_ports STRING {port}:ip-in=127.0.0.1
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.exec_thread.autoconfig.enabled INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.cache.ram_cache.size INT {memory}
CONFIG proxy.config.net.connections_throttle INT 20000
CONFIG proxy.config.crash_log_helper STRING NULL
CONFIG proxy.config.cache.enable_read_while_writer INT 1
CONFIG proxy.config.http.background_fill_active_timeout INT 0
CONFIG proxy.config.http.background_fill_completed_threshold FLOAT 0.0
CONFIG proxy.config.cache.max_doc_size INT 0
CONFIG proxy.config.cache.read_while_writer.max_retries INT 100
CONFIG proxy.config.http.cache.open_read_retry_time INT 20
CONFIG proxy.config.http.cache.max_open_read_retries INT 20
""")
    (folder / "etc/remap.config").write_text(f"map / http://127.0.0.1:{upstream}/\n")
    (folder / "etc/storage.config").write_text(f"{folder}/cache 8G\n")
    server = Process("trafficserver", ["traffic_server", f"--run-root={folder}"], folder, port)
    # It listens before its cache is ready; until then nothing is stored.
    end = time.monotonic() + 60
    while time.monotonic() < end:
        server.get("/o/0")
        with Connection(server.port) as c:
            if c.fetch("/o/0")[1].getheader("Age") is not None:
                server.pin()
                return server
        time.sleep(0.3)
    raise SystemExit("trafficserver does not cache")


def varnish(folder, upstream, memory=GiB):
    port = free_port()
    (folder / "vcl").write_text(f"""vcl 4.1;
backend o {{ .host = "127.0.0.1"; .port = "{upstream}"; }}
sub vcl_backend_response {{ set beresp.keep = 1h; set beresp.grace = 0s; }}
""")
    command = ["varnishd", "-F", "-j", "none", "-n", folder / "n", "-a", f"127.0.0.1:{port}",
               "-f", folder / "vcl", "-s", f"malloc,{max(memory, GiB)}",
               "-p", "thread_pools=1", "-p", "thread_pool_min=100", "-p", "thread_pool_max=500"]
    return Process("varnish", command, folder, port)


def squid(folder, upstream, memory=128 * MiB):
    port = free_port()
    (folder / "squid.conf").write_text(f"""
http_port 127.0.0.1:{port} accel defaultsite=127.0.0.1 no-vhost
cache_peer 127.0.0.1 parent {upstream} 0 no-query originserver name=o
http_access allow all
access_log none
cache_log {folder}/cache.log
cache_store_log none
pid_filename {folder}/pid
coredump_dir {folder}
cache_effective_user proxy
maximum_object_size 4 GB
maximum_object_size_in_memory 512 KB
cache_mem {memory // MiB} MB
cache_dir rock {folder}/cache 8192 max-size=32768
cache_dir aufs {folder}/cache-large 8192 16 256 min-size=32769
collapsed_forwarding on
max_filedescriptors 16384
shutdown_lifetime 0 seconds
workers 1
""")
    for sub in ("cache", "cache-large"):
        (folder / sub).mkdir()
    for path in (folder, folder / "cache", folder / "cache-large"):
        os.chmod(path, 0o777)
    # Its segments in shared memory are named after the service.
    service = f"larderbench{os.getpid()}x{port}"
    command = ["squid", "-n", service, "-N", "-f", folder / "squid.conf"]
    made = subprocess.run([*command, "-z"], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60)
    if made.returncode:
        raise SystemExit(f"squid -z: {made.stderr.decode()[-2000:]}")
    server = Process("squid", command, folder, port)
    server.after = lambda: [p.unlink() for p in pathlib.Path("/dev/shm").glob(
        f"squid-{service}*")]
    return server


def haproxy(folder, upstream, **_):
    """Passes bytes on: what a tunnel can cost at best."""
    port = free_port()
    (folder / "conf").write_text(f"""
global
  nbthread 1
  maxconn 4000
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option splice-auto
listen l
  bind 127.0.0.1:{port}
  server o 127.0.0.1:{upstream}
""")
    return Process("haproxy", ["haproxy", "-db", "-f", folder / "conf"], folder, port)


def limit(folder, _upstream, **_):
    port = free_port()
    files = []
    (folder / "o").mkdir()
    for path, body in known_objects():
        files.append(folder / path[1:])
        files[-1].write_bytes(body)
    return Process("limit", [TOOLS / "limit", port, *files], folder, port)


PEERS = {
    "larder": (larder, LARDERD), "nginx": (nginx, "nginx"),
    "trafficserver": (trafficserver, "traffic_server"), "varnish": (varnish, "varnishd"),
    "squid": (squid, "squid"), "haproxy": (haproxy, "haproxy"), "limit": (limit, TOOLS / "limit"),
}


def is_installed(name):
    return shutil.which(PEERS[name][1]) is not None
