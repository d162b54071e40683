"""All the processes of an attempt: find them, weigh them, end them."""

import os
import re
import select
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from dataplane.agent.runtimes.process.process_identity import read_stat

_PAGE = os.sysconf("SC_PAGE_SIZE")
_ZOMBIE = "Z"


def list_descendants(of: int) -> Sequence[int]:
    """List the living processes below ``of``, wherever they hide from their group."""
    children: dict[int, list[int]] = {}
    for pid in _list_pids():
        fields = read_stat(pid)
        if fields is not None and fields[0] != _ZOMBIE:
            children.setdefault(int(fields[1]), []).append(pid)
    found: list[int] = []
    unseen = [of]
    while unseen:
        below = children.get(unseen.pop(), [])
        found += below
        unseen += below
    return found


def list_session(leader: int) -> Sequence[int]:
    """List the living processes of a session, its leader's death notwithstanding."""
    found = []
    for pid in _list_pids():
        fields = read_stat(pid)
        if fields is not None and int(fields[3]) == leader and fields[0] != _ZOMBIE:
            found.append(pid)
    return found


def list_marked(mark: bytes) -> Sequence[int]:
    """List the living processes that were started with ``mark`` in their environment."""
    found = []
    for pid in _list_pids():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue  # it is gone, or not ours to look into: then it is not ours to kill
        if mark in environment.split(b"\0"):
            found.append(pid)
    return found


def list_working_in(directory: Path) -> Sequence[int]:
    """List the living processes whose working directory this is, or was until it was removed."""
    real = os.path.realpath(directory)
    found = []
    for pid in _list_pids():
        try:
            where = os.readlink(f"/proc/{pid}/cwd")  # noqa: PTH115 - not a path once it is removed
        except OSError:
            continue  # it has ended, or belongs to another user
        if where.removesuffix(" (deleted)") == real:
            found.append(pid)
    return found


def list_complaining_into(path: Path) -> Sequence[int]:
    """List the living processes whose standard error is the file ``path``."""
    names = {os.path.realpath(path), f"{os.path.realpath(path)} (deleted)"}
    found = []
    for pid in _list_pids():
        try:
            target = os.readlink(f"/proc/{pid}/fd/2")  # noqa: PTH115 - a name, not a path
        except OSError:
            continue  # it is gone, not ours to look into, or has none
        if target in names:
            found.append(pid)
    return found


def kill(pids: Iterable[int], within: float) -> None:
    """Send SIGKILL, and wait until all have ended, ``within`` seconds at most."""
    until = time.monotonic() + within
    ending = select.poll()
    descriptors: set[int] = set()
    waiting: set[int] = set()
    try:
        for pid in pids:
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
            descriptors.add(descriptor)
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue  # it ended by itself, or has become somebody else's
            ending.register(descriptor, select.POLLIN)
            waiting.add(descriptor)
        while waiting and (left := until - time.monotonic()) > 0:
            ended = {descriptor for descriptor, _ in ending.poll(left * 1000)}
            for descriptor in ended:
                ending.unregister(descriptor)
            waiting -= ended
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def send_signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # it ended by itself, or has become somebody else's


def measure_memory(pids: Sequence[int], limit: int) -> int:
    """
    Return the bytes that the processes use together.

    Resident sizes count shared pages once for each process: quick to read, and good enough
    below the limit. Above it the kernel is asked for proportional sizes.
    """
    resident = sum(_read_resident(pid) for pid in pids)
    if resident <= limit:
        return resident
    return sum(_read_proportional(pid) for pid in pids)


def _list_pids() -> Sequence[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - names


def _read_resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _read_proportional(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except PermissionError:  # it changed its user; what it shares cannot be told
        return _read_resident(pid)
    match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else _read_resident(pid)
