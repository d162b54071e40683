"""
Independent ledger: starts and ends that processes record, and deaths that the kernel reports.

A killed process leaves no record of its end, so each is watched by a pidfd, which becomes
readable at the moment of its death.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from uuid import UUID

from shared.model.ids import ActionId, AttemptId

_LOOK_SECONDS = 0.02


@dataclass(slots=True)
class Ran:
    """One start of one attempt."""

    attempt: AttemptId
    pid: int
    began_at: float  # seconds since 1970, as all times here
    died_at: float | None = None  # None: still running
    says_it_ended: bool = False


class Ledger:
    """Follows a file that processes append to, and watches those processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ran: list[Ran] = []
        self._offset = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(), name="ledger")
            yield
            watching.cancel()

    def is_running(self, attempt: AttemptId) -> bool:
        return any(each.attempt == attempt and each.died_at is None for each in self.ran)

    def look(self) -> None:
        """Read the lines written since the last call."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._take(json.loads(line))

    def _take(self, note: dict[str, str | int | float]) -> None:
        action, _, number = str(note["attempt"]).rpartition("-")
        attempt, pid = AttemptId(ActionId(UUID(action)), int(number)), int(note["pid"])
        if note["what"] == "began":
            ran = Ran(attempt, pid, float(note["at"]))
            self.ran.append(ran)
            self._watch_death(ran)
        else:
            of = [each for each in self.ran if (each.attempt, each.pid) == (attempt, pid)]
            of[-1].says_it_ended = True

    def _watch_death(self, ran: Ran) -> None:
        try:
            descriptor = os.pidfd_open(ran.pid)
        except ProcessLookupError:
            ran.died_at = time.time()  # noqa: TID251 -- the clock of the processes themselves
            return
        loop = asyncio.get_running_loop()

        def note_death() -> None:
            ran.died_at = time.time()  # noqa: TID251
            loop.remove_reader(descriptor)
            os.close(descriptor)

        loop.add_reader(descriptor, note_death)

    async def _watch(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(_LOOK_SECONDS)


def started_twice(ran: Sequence[Ran]) -> Iterator[str]:
    seen = set()
    for each in ran:
        if each.attempt in seen:
            yield f"attempt {each.attempt} was started twice"
        seen.add(each.attempt)


def overlaps(ran: Sequence[Ran]) -> Iterator[tuple[AttemptId, str]]:
    """Yield attempts of one action that overlapped: the earlier one, and a description."""
    by_action: dict[ActionId, list[Ran]] = {}
    for each in ran:
        by_action.setdefault(each.attempt.action, []).append(each)
    for of_action in by_action.values():
        for before, after in pairwise(sorted(of_action, key=lambda each: each.began_at)):
            if before.died_at is None or before.died_at > after.began_at + 2 * _LOOK_SECONDS:
                how = f"began at {after.began_at:.3f}, the one before ended at {before.died_at}"
                yield before.attempt, f"attempt {after.attempt} {how}"


def still_running(ran: Sequence[Ran]) -> Iterator[str]:
    for each in ran:
        if each.died_at is None:
            yield f"attempt {each.attempt} runs still, as {each.pid}"
