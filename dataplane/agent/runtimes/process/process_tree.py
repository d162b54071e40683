"""Finds, measures and kills the processes of an attempt."""

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
    """List the living descendants of the process ``of``, in whatever process group."""
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
    """List the living processes of a session, even if its leader has ended."""
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
            continue  # it has ended, or belongs to another user and is not ours to kill
        if mark in environment.split(b"\0"):
            found.append(pid)
    return found


def list_working_in(directory: Path) -> Sequence[int]:
    """List the living processes whose working directory is ``directory``, even if removed."""
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


def list_with_stderr(path: Path) -> Sequence[int]:
    """List the living processes whose standard error is the file ``path``."""
    names = {os.path.realpath(path), f"{os.path.realpath(path)} (deleted)"}
    found = []
    for pid in _list_pids():
        try:
            target = os.readlink(f"/proc/{pid}/fd/2")  # noqa: PTH115 - a name, not a path
        except OSError:
            continue  # it has ended, belongs to another user, or has no standard error
        if target in names:
            found.append(pid)
    return found


def kill(pids: Iterable[int], within: float) -> None:
    """Send SIGKILL to the processes, and wait at most ``within`` seconds until they have ended."""
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
                continue  # it has ended, or now belongs to another user
            ending.register(descriptor, select.POLLIN)
            waiting.add(descriptor)
        while waiting and (remaining := until - time.monotonic()) > 0:
            ended = {descriptor for descriptor, _ in ending.poll(remaining * 1000)}
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
            pass  # it has ended, or now belongs to another user


def measure_memory(pids: Sequence[int], limit: int) -> int:
    """
    Return the total memory of the processes, in bytes.

    Resident sizes count shared pages once per process: cheap to read, and sufficient below
    the limit. Above it, proportional sizes are read, which the kernel has to compute.
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
    except PermissionError:  # it changed its user; its shared pages cannot be read
        return _read_resident(pid)
    match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) * 1024 if match else _read_resident(pid)
