"""Runs one command and tells what it cost: `python3 measure.py REPORT OUT LIMIT COMMAND…`.

A program of its own, so that the costs are those of the command and all that it started, also of what it left behind
(Ansible's persistent ssh processes above all), and nobody else's.
"""

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time

# prctl(2).
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
# A look at the memory may take this share of the time, and is taken at least so far apart, in seconds.
SHARE = 0.01
APART = 0.005


def children(pid):
    """The processes that `pid` started and has not waited for."""
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                yield from map(int, file.read().split())


def descendants(pid):
    """All processes below `pid`."""
    for child in list(children(pid)):
        yield child
        yield from descendants(child)


def memory():
    """What all processes below this one hold together in memory, in bytes, pages that they share counted once."""
    total = 0
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total * 1024


def peak(pid):
    """The most that the process ever held, in bytes: kept by the kernel, so that no peak falls between two looks."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def end(deadline):
    """Ends what the command left behind, and waits for it, so that its time counts."""
    while True:
        for pid in list(children(os.getpid())):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def watch(process, begun, limit):
    """Waits for the command, and gives the most memory that was seen and whether it took too long."""
    handle = os.pidfd_open(process.pid)
    most, wait = 0, APART
    while not select.select([handle], [], [], wait)[0]:
        looked = time.monotonic()
        if looked - begun > limit:
            return most, True
        most = max(most, memory(), peak(process.pid))
        wait = max(APART, (time.monotonic() - looked) / SHARE)
    return most, False


def main(report, out, limit, *command):
    """Measures, and writes the report."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    # Whoever is killed with the driver takes along what it measures.
    if prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) or prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with open(out, "wb") as output:
            begun = time.monotonic()
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        most, late = watch(process, begun, float(limit))
        wall = time.monotonic() - begun
        status = process.poll()
    finally:
        end(time.monotonic() + 3)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {"wall": wall, "cpu": used.ru_utime + used.ru_stime, "memory": most, "status": status, "late": late}
    with open(report, "w") as file:
        json.dump(figures, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
