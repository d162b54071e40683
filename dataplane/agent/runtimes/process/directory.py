"""
State directory of one attempt, through whose files the agent and the shim communicate.

``shim.json`` is the claim: a hard link that only one process can create. It names the shim
that runs the attempt, or marks the attempt as withdrawn, so that no shim may run it.
``exit.json`` is written atomically when the attempt has ended. Both are kept, so that a
later agent can read how it ended.

The task's working directory is elsewhere, so that no relative path of the task leads here by
accident. The task runs as the agent's user and can damage these files; that breaks its own
attempt only.
"""

import os
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
    rename_unreadable,
    replace_file,
)
from shared.kit.secrets import SecretBytes, SecretText

_WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A claim taken by an agent, so that no shim can start the attempt."""

    code: str = ""  # of the failure; "": aborted before it started
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Command, environment and limits of the task's process, written by the agent for the shim."""

    argv: Sequence[str]
    env: Mapping[str, str]
    notes: Sequence[str]  # lines for the attempt's log, before the task's output
    max_runtime_seconds: float | None
    memory_limit: int | None  # bytes, of all its processes together
    grace_seconds: float
    fence: str | None  # path of the FenceFile, if the attempt may be restarted elsewhere
    line_bytes: int
    log_bytes: int


@dataclass(frozen=True, slots=True)
class AttemptDirectory:
    """Reads and writes the state files of one attempt."""

    path: Path

    @property
    def work(self) -> Path:
        """Working directory of the task; its parent directory belongs to the attempt as well."""
        return self._work_root / "work"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def shim_stderr(self) -> Path:
        """File with the shim's standard error; empty unless the shim failed."""
        return self.path / "shim.txt"

    def read_shim_stderr(self) -> str:
        """Return the end of what a failed shim wrote."""
        try:
            return self.shim_stderr.read_text(errors="replace")[-2000:].strip() or "nothing"
        except FileNotFoundError:
            return "nothing"

    @property
    def secrets(self) -> Path:
        """Directory of the task's secret files; exists only while the attempt runs."""
        return self._work_root / "secrets"

    @property
    def token(self) -> Path:
        """File with the task's access token to the API; exists only while the attempt runs."""
        return self._work_root / "api-token"

    @property
    def sdk_config(self) -> Path:
        """The SDK's configuration for the task: empty. Beside it the SDK keeps its cache."""
        return self._work_root / "sdk" / "config.yaml"

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
    def modified_at(self) -> float:
        """Return the time of the last added or removed file, in seconds since the epoch."""
        path = self.path if self.path.is_dir() else self._work_root
        return path.stat().st_mtime

    def make(self, start: Start, secrets: Mapping[str, SecretBytes] | None = None) -> None:
        """
        Create the directories, and write the secret files and the start order.

        Only the agent's user may read them. ``secrets``: values by path below its directory.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._work_root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.work.mkdir(exist_ok=True)
        self.sdk_config.parent.mkdir(exist_ok=True)
        self.sdk_config.write_text("{}\n")
        for name, value in (secrets or {}).items():
            _write_private(self.secrets, name, value)
        # Not durable: after a power cut an attempt without a claim is started again.
        replace_file(self._order, asdict(start), durable=False)

    def read_start(self) -> Start:
        """Return the start order; FileNotFoundError if it was taken or discarded."""
        found = read_file(self._order)
        if found is None:
            raise FileNotFoundError(self._order)
        try:
            return Start(**found)
        except TypeError as error:
            raise StateUnreadableError(self._order, str(error)) from error

    def take_start(self) -> Start:
        """Read and delete the start order, because it contains the task's environment."""
        start = self.read_start()
        self._order.unlink()
        return start

    def claim(self, identity: Identity) -> bool:
        """Claim the attempt for the shim ``identity``; False if it is claimed already."""
        return create_file(self._claim, asdict(identity))

    def withdraw(self, reason: Withdrawn) -> bool:
        """
        Take the claim, so that no shim can start the attempt; False if a shim has it.

        True as well if the attempt is withdrawn already, or no shim was ever started for it.
        """
        if not self.path.is_dir():
            return True
        if not create_file(self._claim, {_WITHDRAWN: asdict(reason)}):
            return isinstance(self.find_claim(), Withdrawn)
        self._order.unlink(missing_ok=True)  # it contains the task's environment
        self.remove_secrets()
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
            raise StateUnreadableError(self._claim, f"field {error} is missing") from error
        if type(pid) is not int or pid <= 1 or type(ticks) is not int or type(boot_id) is not str:
            raise StateUnreadableError(self._claim, "it does not identify a process")
        return Identity(pid, ticks, boot_id)

    def find_shim(self) -> Identity | None:
        claim = self.find_claim()
        return claim if isinstance(claim, Identity) else None

    def request_stop(self) -> None:
        if not self.is_stop_requested:  # keeps the time of the first request
            self._stop.touch()

    @property
    def is_stop_requested(self) -> bool:
        return self._stop.exists()

    @property
    def stop_requested_at(self) -> float | None:
        """Return the time of the stop request, in seconds since the epoch; None without one."""
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
        Rename the unreadable file and withdraw the attempt, so that it cannot run again.

        None of the attempt's processes may be running.
        """
        rename_unreadable(error.path)
        if error.path != self._claim:
            rename_unreadable(self._claim)
        create_file(self._claim, {_WITHDRAWN: asdict(reason)})
        self._order.unlink(missing_ok=True)
        self.remove_secrets()

    def write_token(self, token: SecretText) -> None:
        """Replace the task's access token; a reader sees the one before or this one."""
        self._work_root.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = f"{self.token.name}.new"
        _write_private(self._work_root, fresh, SecretBytes(token.reveal().encode()))
        (self._work_root / fresh).replace(self.token)

    def remove_secrets(self) -> None:
        """Delete the task's secret files and token, once none of its processes runs. Idempotent."""
        shutil.rmtree(self.secrets, ignore_errors=True)
        self.token.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete the attempt's directories; files that cannot be deleted stay for the next sweep."""
        shutil.rmtree(self._work_root, ignore_errors=True)
        shutil.rmtree(self.path, ignore_errors=True)

    @classmethod
    def all_below(cls, root: Path) -> Sequence[Self]:
        """Return the attempts that have a state directory or a working directory."""
        names = {
            path.name
            for parent in (root, root.with_name("work"))
            if parent.is_dir()
            for path in parent.iterdir()
            if path.is_dir()
        }
        return [cls(root / name) for name in sorted(names)]


def _write_private(root: Path, name: str, value: SecretBytes) -> None:
    """Write a file below ``root``, 0600 in directories of 0700; replaces an earlier one."""
    path = root / name
    for directory in reversed([path.parent, *path.parent.parents]):
        if directory.is_relative_to(root):
            directory.mkdir(mode=0o700, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(value.reveal())


def _number(found: Any) -> int | None:
    """Return an integer or None read from a file; ValueError for any other type."""
    if found is not None and type(found) is not int:
        raise ValueError(f"{found!r} is not a number")
    return found
