#!/usr/bin/env python3
"""Kills the torture program at random moments, and checks what is left.

    run.py TORTURE [ROUNDS [SEED]]

Half of the rounds have a budget that holds all there is, so that nothing may
be missing; the others have one that makes it evict all the time. After each
round: the store opens at once, serves no wrong byte, misses nothing that was
done two seconds before the kill (more where the
disk is slow to sync: it is measured), and du says that it keeps its budget.
"""
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

MIB = 1 << 20


def du(path):
    """Each file once, though it is renamed while we walk."""
    seen = {}
    for folder, _, files in os.walk(path):
        for name in [folder] + [os.path.join(folder, f) for f in files]:
            try:
                st = os.lstat(name)
                seen[st.st_ino] = st.st_blocks * 512
            except FileNotFoundError:
                pass
    return sum(seen.values())


class Probe(threading.Thread):
    """How long this disk takes to sync at its worst, while others use it."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.worst, self.stop = path, 0.0, False

    def run(self):
        with open(self.path, "wb") as file:
            while not self.stop:
                begin = time.monotonic()
                file.write(b"x" * 4096)
                file.flush()
                os.fsync(file.fileno())
                self.worst = max(self.worst, time.monotonic() - begin)
                time.sleep(0.1)


def torture(program, path, size, log, seed, rng):
    """Runs it for a while and kills it; returns the most that du saw."""
    most = 0
    with open(log, "a") as out:
        child = subprocess.Popen(
            [program, "run", path, str(size), str(seed)], stdout=out)
        until = time.monotonic() + rng.uniform(0.05, 3.5)
        while time.monotonic() < until:
            most = max(most, du(path))
            time.sleep(0.01)
        alive = child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
    if not alive:
        raise RuntimeError(f"it ended by itself: {child.returncode}")
    return max(most, du(path))


def one_round(program, path, size, log, seed, rng):
    problems = []
    probe = Probe(log + ".probe")
    probe.start()
    most = torture(program, path, size, log, seed, rng)
    probe.stop = True
    probe.join()
    # A commit is four syncs; two of them are cheap where the disk is idle.
    grace = int(2000 + 8000 * probe.worst)
    if most > size:
        problems.append(f"FAIL budget: du {most} of {size}")
    # With room to spare: the check must not evict what it counts.
    done = subprocess.run([program, "check", path, str(4 * size), log,
                           str(grace)],
                          capture_output=True, text=True, timeout=120)
    lines = done.stdout.splitlines()
    problems += [line for line in lines if line.startswith("FAIL")]
    if done.returncode and not problems:
        problems.append(f"FAIL check ended with {done.returncode}: "
                        + done.stderr[-300:])
    last = lines[-1].split() if lines else []
    if size > 512 * MIB and last[:1] == ["there"] and last[3] != "0":
        problems.append(f"FAIL {last[3]} committed objects are missing")
    if du(path) > size:
        problems.append("FAIL budget after the check")
    return problems, " ".join(last) + f" grace {grace} ms"


def main():
    program = os.path.abspath(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(1 << 20)
    rng = random.Random(seed)
    passed = failed = 0
    for size in (1024 * MIB, 24 * MIB):
        base = tempfile.mkdtemp(prefix="larder-crash-")
        try:
            log = os.path.join(base, "log")
            for i in range((rounds + 1) // 2):
                problems, line = one_round(
                    program, os.path.join(base, "store"), size, log,
                    rng.randrange(1, 1 << 30), rng)
                print(f"round {i} of {size // MIB} MiB, seed {seed}: {line}",
                      *problems, sep="\n  ", flush=True)
                passed += not problems
                failed += bool(problems)
        finally:
            shutil.rmtree(base)
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
