"""
Waiting for a shim, never for ever.

A shim ends by itself soon after it is asked to. One that does not, because it was sent
SIGSTOP or hangs, is killed, and all of its attempt's processes with it.
"""

import asyncio
import logging
import os
import signal
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from dataplane.agent.core import limits
from dataplane.agent.runtimes.environment import ATTEMPT_VARIABLE
from dataplane.agent.runtimes.process import process_tree
from dataplane.agent.runtimes.process.directory import AttemptDirectory
from dataplane.agent.runtimes.process.process_identity import Identity
from dataplane.agent.runtimes.process.spawner import readable
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How long a shim may take."""

    grace: timedelta  # the task's, from SIGTERM to SIGKILL
    margin: timedelta = limits.SHIM_MARGIN  # for the shim, on top of it
    look_every: timedelta = limits.SHIM_LOOK_EVERY

    @property
    def to_end(self) -> timedelta:
        """From the request to stop to the shim's own end."""
        return self.grace + self.margin


async def wait_for_end(
    shim: Identity,
    directory: AttemptDirectory,
    stop: asyncio.Event,
    *,
    max_runtime: timedelta | None,
    bounds: Bounds,
    clock: Clock,
) -> None:
    """Wait until the shim has ended; ask it to once ``stop`` is set, kill it if it is late."""
    descriptor = shim.open_pidfd()
    if descriptor is None:
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            deadline = None if max_runtime is None else clock.now() + max_runtime + bounds.to_end
            overseer = _Overseer(shim, directory, deadline, bounds, clock)
            overseeing = tasks.create_task(overseer.run(stop))
            await readable(descriptor)
            overseeing.cancel()
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class _Overseer:
    """Asks a shim to end once that is wanted, and kills it if it is overdue or stopped."""

    shim: Identity
    directory: AttemptDirectory
    deadline: datetime | None
    bounds: Bounds
    clock: Clock
    stopped_at: datetime | None = None  # since when it has been seen stopped

    async def run(self, stop: asyncio.Event) -> None:
        asked = False
        while not self._is_overdue():
            if stop.is_set() and not asked:
                asked = True
                ask_to_end(self.shim, self.directory)
                due = self.clock.now() + self.bounds.to_end
                self.deadline = due if self.deadline is None else min(self.deadline, due)
            pause = self.bounds.look_every
            if self.deadline is not None:
                pause = max(timedelta(0), min(pause, self.deadline - self.clock.now()))
            if asked:
                await self.clock.sleep(pause)
            else:
                await _wait_for(stop, pause)
        logger.error(
            "shim killed, it did not end in time",
            extra={"pid": self.shim.pid, "attempt": self.directory.path.name},
        )
        await asyncio.to_thread(kill_all, self.directory, self.shim)

    def _is_overdue(self) -> bool:
        now = self.clock.now()
        if self.deadline is not None and now >= self.deadline:
            return True
        if not self.shim.is_stopped:
            self.stopped_at = None
        elif self.stopped_at is None:
            self.stopped_at = now
            logger.warning("shim stopped by a signal, continuing it", extra={"pid": self.shim.pid})
            self.shim.send_signal(signal.SIGCONT)
        return self.stopped_at is not None and now - self.stopped_at >= self.bounds.grace


def ask_to_end(shim: Identity, directory: AttemptDirectory) -> None:
    """Ask the shim to end its task, even if it was sent SIGSTOP."""
    directory.request_stop()
    shim.send_signal(signal.SIGTERM)
    if shim.is_stopped:
        shim.send_signal(signal.SIGCONT)


def kill_all(directory: AttemptDirectory, shim: Identity | None) -> None:
    """
    Kill the attempt's shim and all of its processes, wherever they are.

    The shim is found without the claim, too: its standard error is a file of the directory.
    If it is dead already, the kernel has killed its task, but not the task's children.
    """
    mark = f"{ATTEMPT_VARIABLE}={directory.path.name}".encode()
    shims = set(process_tree.list_complaining_into(directory.complaints))
    if shim is not None and shim.holds_pid:
        shims.add(shim.pid)
    within = limits.ORPHANS_DIE_WITHIN.total_seconds()
    until = time.monotonic() + within
    process_tree.kill(
        [pid for pid in shims if shim is None or pid != shim.pid or shim.is_alive], within
    )
    while True:  # each round may find what was forked during the one before
        processes = set(process_tree.list_marked(mark))
        for leader in shims:
            processes.update(process_tree.list_session(leader))
        if not processes:
            return
        left = until - time.monotonic()
        if left <= 0:
            break
        process_tree.kill(processes, left)
    logger.error(
        "processes survive SIGKILL",
        extra={"attempt": directory.path.name, "pids": sorted(processes)},
    )


async def _wait_for(event: asyncio.Event, at_most: timedelta) -> None:
    try:
        async with asyncio.timeout(max(0.0, at_most.total_seconds())):
            await event.wait()
    except TimeoutError:
        pass  # it is looked at again
