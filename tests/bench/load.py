"""Load on the other core: wrk for many small requests, fan for large bodies."""
import re
import subprocess

from machine import LOAD_CORE, TICK
from peers import TOOLS

PREPARED = """
local requests, count = {}, 0
math.randomseed(%(seed)d)
init = function(args)
  for i = 0, %(objects)d - 1 do
    requests[i] = wrk.format("GET", "%(prefix)s" .. i * %(step)d, %(fields)s)
  end
end
"""
RANDOM = PREPARED + "request = function() return requests[math.random(0, %(objects)d - 1)] end\n"
ZIPF = PREPARED + """
-- Inverse of the cumulative weights of 1/rank^0.9.
local sum, at = {}, 0
for i = 0, %(objects)d - 1 do at = at + (i + 1) ^ -0.9; sum[i] = at end
request = function()
  local want, low, high = math.random() * at, 0, %(objects)d - 1
  while low < high do
    local mid = math.floor((low + high) / 2)
    if sum[mid] < want then low = mid + 1 else high = mid end
  end
  return requests[low]
end
"""
# One after the other, around.
IN_ORDER = """
local count = %(first)d
request = function()
  count = count + 1
  return wrk.format("GET", "%(prefix)s" .. count %% %(objects)d)
end
"""
DONE = """
done = function(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %f %f\\n", summary.requests, summary.duration,
    summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout, latency:percentile(50), latency:percentile(99)))
end
"""


def script(template, prefix="/o/", objects=1000, step=1, seed=1, first=0, fields=None):
    lua = ", ".join(f'["{k}"] = "{v}"' for k, v in (fields or {}).items())
    return template % {"prefix": prefix, "objects": objects, "step": step, "seed": seed,
                       "first": first, "fields": f"{{{lua}}}"}


class Wrk:
    """One run, in the background until result()."""

    def __init__(self, folder, port, lua, seconds, connections=64, core=LOAD_CORE, idle=False):
        """idle: has the core when nobody else wants it, so that what is measured beside it
        does not wait for this one."""
        file = folder / f"load-{port}-{connections}.lua"
        file.write_text(lua + DONE)
        self.process = subprocess.Popen(
            [*(["chrt", "-i", "0"] if idle else []), "taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
             "--timeout", "30s", "-s", str(file), f"http://127.0.0.1:{port}/"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def result(self):
        out = self.process.communicate()[0]
        match = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\S+) (\S+)", out)
        if not match:
            raise SystemExit(f"wrk: {out}")
        return {"requests": int(match[1]), "seconds": int(match[2]) / 1e6,
                "errors": int(match[3]) + int(match[4]), "p50": float(match[5]) / 1e3,
                "p99": float(match[6]) / 1e3}


def wrk(*args, **kw):
    return Wrk(*args, **kw).result()


def fan(port, path, clients=1, rounds=1, through=None):
    """For each request (ms to the first byte, ms to the last, bytes)."""
    done = subprocess.run(
        ["taskset", "-c", str(LOAD_CORE), str(TOOLS / "fan"), str(port), path, str(clients),
         str(rounds), *([through] if through else [])],
        stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"fan {path}: {done.stderr}")
    return [tuple(map(float, line.split())) for line in done.stdout.splitlines()]


def per_thousand(cpu, requests):
    """CPU seconds per 1,000 requests."""
    return 1000 * max(cpu, 1 / TICK) / max(requests, 1)
