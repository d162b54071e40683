"""
Simulates the machine that an agent runs tasks on: processes that outlive it, and a witness.

The runtime follows ``runtimes.process``: an attempt is claimed once and permanently, started by
the claimant, adopted by later callers, stopped with a grace period.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.core.endings import AttemptArtifacts, Exit, KilledFor, classify
from dataplane.agent.runtimes.protocol import Job, ReportStatus
from shared.kit.clock import Clock
from shared.model.ids import AttemptId, LeaseId
from shared.model.logs import LogChunk
from shared.model.phases import Phase
from tests.simulation.loop import SimLoop

_NOTHING: tuple[LogChunk, ...] = ()
_STOPPED = Exit(signal=15, killed_for=KilledFor.STOPPED)
_FENCED = Exit(signal=15, killed_for=KilledFor.CUT_OFF)


@dataclass(slots=True)
class Process:
    """A started task; ``exit`` stays None if its machine rebooted under it."""

    attempt: AttemptId
    lease: LeaseId
    replaceable: bool
    machine: str
    started_at: float
    ended_at: float | None = None
    exit: Exit | None = None
    stopping: bool = False
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Witness:
    """Records every start and end independently of agents and control planes."""

    def __init__(self) -> None:
        self.processes: list[Process] = []

    def running(self) -> list[Process]:
        return [process for process in self.processes if process.ended_at is None]


class Machine:
    def __init__(
        self,
        name: str,
        loop: SimLoop,
        chance: Random,
        witness: Witness,
        clock: Clock,
        *,
        grace: timedelta,
    ) -> None:
        self.name = name
        self.processes: dict[AttemptId, Process] = {}
        self.lasts: Sequence[float] = (0.05, 0.5, 3, 10, 30)  # maximum of seconds
        self._loop = loop
        self._chance = chance
        self._witness = witness
        self._clock = clock
        self._fence_at: float | None = None  # on a monotonic clock
        self._is_looking = False
        self._grace = grace.total_seconds()

    def allow_until(self, at: datetime) -> None:
        """Let replaceable attempts run until then, as the shims do by themselves."""
        self._fence_at = self._loop.time() + (at - self._clock.now()).total_seconds()
        self._look_at_fence()

    def start(self, job: Job) -> None:
        """Start a job; if the fence is closed, it ends before it begins."""
        assignment = job.assignment
        if assignment.replaceable and self._is_fenced():
            process = Process(assignment.attempt, assignment.lease, True, self.name, 0, 0, _FENCED)
            process.ended.set()
            self.processes[assignment.attempt] = process
            return
        process = Process(
            assignment.attempt,
            assignment.lease,
            assignment.replaceable,
            self.name,
            self._loop.time(),
        )
        self.processes[assignment.attempt] = process
        self._witness.processes.append(process)
        lasts = self._chance.choice(self.lasts)
        code = 0 if self._chance.random() < 0.85 else 1
        self._end_in(self._chance.uniform(0.5, 1) * lasts, process, Exit(code=code))
        self._look_at_fence()

    def stop(self, process: Process, how: Exit = _STOPPED) -> None:
        if not process.stopping:
            process.stopping = True
            self._end_in(self._chance.uniform(0, self._grace), process, how)

    def reboot(self) -> None:
        for process in self.processes.values():
            self._end(process, None)

    def _is_fenced(self) -> bool:
        return self._fence_at is None or self._loop.time() >= self._fence_at

    def _look_at_fence(self) -> None:
        """Check the fence once a second, for all shims at the same moments."""
        replaceable = [
            each for each in self.processes.values() if each.replaceable and each.ended_at is None
        ]
        if self._is_fenced():
            for process in replaceable:
                self.stop(process, _FENCED)
        elif replaceable and not self._is_looking:
            self._is_looking = True
            self._loop.call_in_world(self._loop.time() + 1, self._look_again)

    def _look_again(self) -> None:
        self._is_looking = False
        self._look_at_fence()

    def _end_in(self, seconds: float, process: Process, how: Exit) -> None:
        self._loop.call_in_world(self._loop.time() + seconds, self._end, process, how)

    def _end(self, process: Process, how: Exit | None) -> None:
        if process.ended_at is None:
            process.ended_at, process.exit = self._loop.time(), how
            process.ended.set()


class SimRuntime:
    """An agent's runtime on its machine."""

    def __init__(self, machine: Machine, chance: Random) -> None:
        self._machine = machine
        self._chance = chance

    async def run(self, job: Job, report_status: ReportStatus, stop: asyncio.Event) -> StatusUpdate:
        attempt = job.assignment.attempt
        process = self._machine.processes.get(attempt)
        if process is None:
            if stop.is_set():
                return StatusUpdate(phase=Phase.ABORTED)
            await report_status(StatusUpdate(phase=Phase.INITIALIZING, reason="StartingProcess"))
            await asyncio.sleep(self._chance.uniform(0, 0.2))
            self._machine.start(job)
            process = self._machine.processes[attempt]
        await report_status(StatusUpdate(phase=Phase.RUNNING))
        async with asyncio.TaskGroup() as tasks:
            stopping = tasks.create_task(self._pass_on(stop, process))
            await process.ended.wait()
            stopping.cancel()
        prefix = job.assignment.output_prefix
        phase, failure = classify(AttemptArtifacts(exit=process.exit, output_prefix=prefix))
        return StatusUpdate(
            phase=phase, failure=failure, output_uri=prefix if phase is Phase.SUCCEEDED else ""
        )

    def allow_until(self, at: datetime) -> None:
        self._machine.allow_until(at)

    async def follow(self, attempt: AttemptId, after_line: int) -> AsyncIterator[LogChunk]:
        del attempt, after_line
        for chunk in _NOTHING:
            yield chunk

    async def sweep(self, held: Collection[AttemptId], older_than: timedelta) -> int:
        """Stop the processes of attempts that are not active."""
        del older_than
        strays = [
            process
            for attempt, process in self._machine.processes.items()
            if attempt not in held and process.ended_at is None
        ]
        for process in strays:
            self._machine.stop(process)
        return 0

    async def _pass_on(self, stop: asyncio.Event, process: Process) -> None:
        await stop.wait()
        self._machine.stop(process)
