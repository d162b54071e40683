"""
One attempt's directory: through these files the agent and the shim speak.

``shim.json`` is the claim: a link that only one process can make. It names the shim that runs
the attempt, or says that the attempt is withdrawn and no shim may run it. ``exit.json``
appears whole, when all is over. Both stay, so that a later agent can read what happened.

The task works elsewhere, so that no relative path of its leads here by accident. It runs as
our user and could find us if it tried; then it has spoilt its own attempt, and only that.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from dataplane.agent.core.endings import Exit, KilledFor
from dataplane.agent.runtimes.process.process_identity import Identity
from dataplane.agent.runtimes.process.state_files import (
    StateUnreadableError,
    create_file,
    read_file,
    replace_file,
    set_aside,
)

_WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The attempt's claim, taken by an agent so that no shim can have it."""

    code: str = ""  # of the failure; none: it was aborted before it started
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the shim is to run."""

    argv: Sequence[str]
    env: Mapping[str, str]
    notes: Sequence[str]  # for the attempt's log, before anything the task says
    max_runtime_seconds: float | None
    memory_limit: int | None  # bytes, of all its processes together
    grace_seconds: float
    fence: str | None  # a FenceFile, if the task may be begun elsewhere
    line_bytes: int
    log_bytes: int


@dataclass(frozen=True, slots=True)
class AttemptDirectory:
    path: Path

    @property
    def work(self) -> Path:
        """Where the task works; what is above it there is its own, too."""
        return self._work_root / "work"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def complaints(self) -> Path:
        """What the shim itself had to say; empty unless something is wrong with it."""
        return self.path / "shim.txt"

    @property
    def _work_root(self) -> Path:
        return self.path.parent.with_name("work") / self.path.name

    @property
    def _claim(self) -> Path:
        return self.path / "shim.json"

    @property
    def _exit(self) -> Path:
        return self.path / "exit.json"

    @property
    def _order(self) -> Path:
        return self.path / "start.json"

    @property
    def _stop(self) -> Path:
        return self.path / "stop"

    @property
    def made_at(self) -> float:
        """Return when it last got or lost a file, as seconds since the epoch."""
        path = self.path if self.path.is_dir() else self._work_root
        return path.stat().st_mtime

    def make(self, start: Start) -> None:
        """Make the directories and say what to run; nobody else may read it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._work_root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.work.mkdir(exist_ok=True)
        # Not durable: after a power cut an attempt that no shim has claimed is ordered again.
        replace_file(self._order, asdict(start), durable=False)

    def read_start(self) -> Start:
        """Return what to run; FileNotFoundError if it was taken or discarded."""
        found = read_file(self._order)
        if found is None:
            raise FileNotFoundError(self._order)
        try:
            return Start(**found)
        except TypeError as error:
            raise StateUnreadableError(self._order, str(error)) from error

    def take_start(self) -> Start:
        """Read what to run and leave no copy: the task's environment is in it."""
        start = self.read_start()
        self._order.unlink()
        return start

    def claim(self, identity: Identity) -> bool:
        """Say that ``identity`` runs this attempt; False if another one does."""
        return create_file(self._claim, asdict(identity))

    def withdraw(self, reason: Withdrawn) -> bool:
        """
        Take the claim, so that no shim can start the attempt; False if a shim has it.

        True as well if the attempt is withdrawn already, or no shim was ever ordered.
        """
        if not self.path.is_dir():
            return True
        if not create_file(self._claim, {_WITHDRAWN: asdict(reason)}):
            return isinstance(self.find_claim(), Withdrawn)
        self._order.unlink(missing_ok=True)  # the task's environment is in it
        return True

    def find_claim(self) -> Identity | Withdrawn | None:
        found = read_file(self._claim)
        if found is None:
            return None
        try:
            if _WITHDRAWN in found:
                reason = found[_WITHDRAWN]
                return Withdrawn(str(reason["code"]), str(reason["message"]))
            pid, ticks, boot_id = found["pid"], found["started_ticks"], found["boot_id"]
        except (KeyError, TypeError) as error:
            raise StateUnreadableError(self._claim, f"it lacks {error}") from error
        if type(pid) is not int or pid <= 1 or type(ticks) is not int or type(boot_id) is not str:
            raise StateUnreadableError(self._claim, "it names no process")
        return Identity(pid, ticks, boot_id)

    def find_shim(self) -> Identity | None:
        claim = self.find_claim()
        return claim if isinstance(claim, Identity) else None

    def request_stop(self) -> None:
        if not self.is_asked_to_stop:  # the first time counts
            self._stop.touch()

    @property
    def is_asked_to_stop(self) -> bool:
        return self._stop.exists()

    @property
    def asked_to_stop_at(self) -> float | None:
        """Return when, as seconds since the epoch; None if it was not."""
        try:
            return self._stop.stat().st_mtime
        except FileNotFoundError:
            return None

    def write_exit(self, ended: Exit) -> None:
        replace_file(self._exit, asdict(ended), durable=True)

    def find_exit(self) -> Exit | None:
        found = read_file(self._exit)
        if found is None:
            return None
        killed_for = found.get("killed_for")
        try:
            return Exit(
                code=_number(found.get("code")),
                signal=_number(found.get("signal")),
                wait_status=_number(found.get("wait_status")),
                killed_for=None if killed_for is None else KilledFor(killed_for),
                max_rss=_number(found.get("max_rss")) or 0,
            )
        except ValueError as error:
            raise StateUnreadableError(self._exit, str(error)) from error

    def quarantine(self, error: StateUnreadableError, reason: Withdrawn) -> None:
        """
        Set the unreadable file aside and withdraw the attempt, so that it cannot run again.

        Nothing of the attempt may be running.
        """
        set_aside(error.path)
        if error.path != self._claim:
            set_aside(self._claim)
        create_file(self._claim, {_WITHDRAWN: asdict(reason)})
        self._order.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all there is of the attempt; what cannot be removed stays for the next time."""
        shutil.rmtree(self._work_root, ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)

    @classmethod
    def all_below(cls, root: Path) -> Sequence[Self]:
        """Return the attempts that have a directory of either kind."""
        names = {
            path.name
            for parent in (root, root.with_name("work"))
            if parent.is_dir()
            for path in parent.iterdir()
            if path.is_dir()
        }
        return [cls(root / name) for name in sorted(names)]


def _number(found: Any) -> int | None:
    """Return a number out of a file; ValueError if it is something else."""
    if found is not None and type(found) is not int:
        raise ValueError(f"{found!r} is not a number")
    return found
