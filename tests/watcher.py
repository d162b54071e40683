"""
Kills the programs of a run of tests, and removes its directories, when the run was killed.

Run as a script (``python -I -S watcher.py TOKEN``) by :mod:`tests.leftovers`, which writes the
directories to its input, a line each, and ``done`` when the run ends by itself. An end of the input
without that means that the run died. It kills the processes that were started with the token in
their environment, and their descendants. It imports the standard library only.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Set as AbstractSet
from pathlib import Path

VARIABLE = "VOLARY_TESTS_RUN"
DONE = "done"
_ROUNDS = 50  # of 0.1 s: what is killed may have started others meanwhile


def main() -> None:
    lines = [line.rstrip("\n") for line in sys.stdin]
    if lines[-1:] == [DONE]:
        return
    for _ in range(_ROUNDS):
        found = find_programs(sys.argv[1])
        if not found:
            break
        for pid in found:
            _kill(pid)
        time.sleep(0.1)
    for directory in lines:
        shutil.rmtree(directory, ignore_errors=True)


def find_programs(token: str) -> AbstractSet[int]:
    """Return the processes that were started with the token, and all below them, but no watcher."""
    mark = f"{VARIABLE}={token}".encode()
    parents = dict(_parents())
    found = {pid for pid in parents if mark in _read(pid, "environ").split(b"\0")}
    while below := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= below
    own = __file__.encode()
    return {pid for pid in found if own not in _read(pid, "cmdline").split(b"\0")}


def _parents() -> Iterator[tuple[int, int]]:
    for entry in os.listdir("/proc"):  # noqa: PTH208 -- names, not paths
        if entry.isdecimal() and int(entry) != os.getpid():
            fields = _read(int(entry), "stat").rpartition(b")")[2].split()
            if fields and fields[0] != b"Z":
                yield int(entry), int(fields[1])


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended, or is another user's
        return b""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except OSError:
        pass  # it has ended


if __name__ == "__main__":
    main()
