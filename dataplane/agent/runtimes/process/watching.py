"""
Waits for a shim to end, and kills one that does not end in time.

A shim ends by itself soon after it is requested to stop. One that does not, because it was
sent SIGSTOP or hangs, is killed, together with all processes of its attempt.
"""

import asyncio
import logging
import os
import signal
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from dataplane.agent.core import attempt_limits
from dataplane.agent.runtimes.environment import ATTEMPT_VARIABLE
from dataplane.agent.runtimes.process import process_tree
from dataplane.agent.runtimes.process.directory import AttemptDirectory
from dataplane.agent.runtimes.process.process_identity import Identity
from dataplane.agent.runtimes.process.spawner import readable
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Timeouts of a shim, and the interval at which they are checked."""

    grace: timedelta  # the task's, from SIGTERM to SIGKILL
    margin: timedelta = attempt_limits.SHIM_MARGIN  # added for the shim itself
    check_interval: timedelta = attempt_limits.SHIM_LOOK_EVERY

    @property
    def stop_timeout(self) -> timedelta:
        """Longest time from the request to stop to the shim's end."""
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
    """Wait until the shim has ended; request it once ``stop`` is set, kill it if overdue."""
    descriptor = shim.open_pidfd()
    if descriptor is None:
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            deadline = (
                None if max_runtime is None else clock.now() + max_runtime + bounds.stop_timeout
            )
            overseer = _Overseer(shim, directory, deadline, bounds, clock)
            oversight = tasks.create_task(overseer.run(stop))
            await readable(descriptor)
            oversight.cancel()
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class _Overseer:
    """Requests a shim to end once ``stop`` is set; kills one that is overdue or suspended."""

    shim: Identity
    directory: AttemptDirectory
    deadline: datetime | None
    bounds: Bounds
    clock: Clock
    suspended_at: datetime | None = None  # when the shim was first seen suspended

    async def run(self, stop: asyncio.Event) -> None:
        requested = False
        while not self._is_overdue():
            if stop.is_set() and not requested:
                requested = True
                request_stop(self.shim, self.directory)
                due = self.clock.now() + self.bounds.stop_timeout
                self.deadline = due if self.deadline is None else min(self.deadline, due)
            pause = self.bounds.check_interval
            if self.deadline is not None:
                pause = max(timedelta(0), min(pause, self.deadline - self.clock.now()))
            if requested:
                await self.clock.sleep(pause)
            else:
                await _wait_for(stop, pause)
        logger.error(
            "shim stop timed out, shim killed",
            extra={"pid": self.shim.pid, "attempt": self.directory.path.name},
        )
        await asyncio.to_thread(kill_all, self.directory, self.shim)

    def _is_overdue(self) -> bool:
        now = self.clock.now()
        if self.deadline is not None and now >= self.deadline:
            return True
        if not self.shim.is_stopped:
            self.suspended_at = None
        elif self.suspended_at is None:
            self.suspended_at = now
            logger.warning("shim suspended, sending SIGCONT", extra={"pid": self.shim.pid})
            self.shim.send_signal(signal.SIGCONT)
        return self.suspended_at is not None and now - self.suspended_at >= self.bounds.grace


def request_stop(shim: Identity, directory: AttemptDirectory) -> None:
    """Request the shim to end its task; resume the shim if it was sent SIGSTOP."""
    directory.request_stop()
    shim.send_signal(signal.SIGTERM)
    if shim.is_stopped:
        shim.send_signal(signal.SIGCONT)


def kill_all(directory: AttemptDirectory, shim: Identity | None) -> None:
    """
    Kill the attempt's shim and all of the attempt's processes, in whatever session.

    A shim without a claim is found by its standard error, a file in the directory. If the
    shim is dead already, the kernel has killed its task, but not the task's children.
    """
    mark = f"{ATTEMPT_VARIABLE}={directory.path.name}".encode()
    shims = set(process_tree.list_with_stderr(directory.shim_stderr))
    if shim is not None and shim.holds_pid:
        shims.add(shim.pid)
    within = attempt_limits.ORPHANS_DIE_WITHIN.total_seconds()
    until = time.monotonic() + within
    process_tree.kill(
        [pid for pid in shims if shim is None or pid != shim.pid or shim.is_alive], within
    )
    while True:  # a round may find processes that were forked during the previous one
        processes = set(process_tree.list_marked(mark))
        for leader in shims:
            processes.update(process_tree.list_session(leader))
        if not processes:
            return
        remaining = until - time.monotonic()
        if remaining <= 0:
            break
        process_tree.kill(processes, remaining)
    logger.error(
        "processes survive SIGKILL",
        extra={"attempt": directory.path.name, "pids": sorted(processes)},
    )


async def _wait_for(event: asyncio.Event, at_most: timedelta) -> None:
    try:
        async with asyncio.timeout(max(0.0, at_most.total_seconds())):
            await event.wait()
    except TimeoutError:
        pass  # the caller checks the event again
