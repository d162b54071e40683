"""
One attempt's directory: through these files the agent and the shim speak.

``shim.json`` is made by the one shim that runs the attempt, by a link that only one can
make: it is the claim. ``exit.json`` appears whole, when all is over. Both stay, so that a
later agent can read what happened.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from dataplane.agent.core.endings import Exit, KilledFor
from dataplane.agent.runtimes.process.identity import Identity


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
        return self.path / "work"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def complaints(self) -> Path:
        """What the shim itself had to say; empty unless something is wrong with it."""
        return self.path / "shim.txt"

    def make(self, start: Start) -> None:
        """Make the directory and say what to run; nobody else may read it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.work.mkdir(exist_ok=True)
        self._write("start.json", asdict(start))

    def read_start(self) -> Start:
        return Start(**json.loads((self.path / "start.json").read_text()))

    def take_start(self) -> Start:
        """Read what to run and leave no copy: the task's environment is in it."""
        start = self.read_start()
        (self.path / "start.json").unlink()
        return start

    def discard_start(self) -> None:
        """Leave no copy for a shim that will not come."""
        (self.path / "start.json").unlink(missing_ok=True)

    def claim(self, identity: Identity) -> bool:
        """Say that ``identity`` runs this attempt; False if another one does."""
        draft = self.path / f"shim.{identity.pid}"
        draft.write_text(json.dumps(asdict(identity)))
        try:
            os.link(draft, self.path / "shim.json")
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        return True

    def find_shim(self) -> Identity | None:
        found = self._read("shim.json")
        return None if found is None else Identity(**found)

    def ask_to_stop(self) -> None:
        (self.path / "stop").touch()

    @property
    def is_asked_to_stop(self) -> bool:
        return (self.path / "stop").exists()

    def write_exit(self, ended: Exit) -> None:
        self._write("exit.json", asdict(ended))

    def find_exit(self) -> Exit | None:
        found = self._read("exit.json")
        if found is None:
            return None
        killed_for = found.pop("killed_for")
        return Exit(**found, killed_for=None if killed_for is None else KilledFor(killed_for))

    @classmethod
    def all_below(cls, root: Path) -> Sequence[Self]:
        return [cls(path) for path in sorted(root.iterdir())] if root.is_dir() else []

    def _write(self, name: str, content: Mapping[str, object]) -> None:
        draft = self.path / f".{name}.{uuid4().hex}"  # nobody else's draft
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(content))
        draft.replace(self.path / name)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None
        return found
