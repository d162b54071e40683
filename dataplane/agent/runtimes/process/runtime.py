"""
Runs ``a0`` of this environment as a local process, one shim to each attempt.

The agent may die at any point: whoever comes next finds the attempt's directory, sees
whether a shim has claimed it, waits for it if it lives, and reads what it wrote if not.
A claimed attempt is never started again, nor is one that ran and whose directory is gone.
"""

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from dataplane.agent.core import limits
from dataplane.agent.core.endings import Exit, Remains, judge
from dataplane.agent.core.held import News
from dataplane.agent.core.messages import LogChunk
from dataplane.agent.runtimes import remains
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.environment import ATTEMPT_VARIABLE, Endpoint, substitute
from dataplane.agent.runtimes.features import RuntimeKind, list_ignored
from dataplane.agent.runtimes.log_links import render_log_links
from dataplane.agent.runtimes.process import trees
from dataplane.agent.runtimes.process.directory import AttemptDirectory, Start
from dataplane.agent.runtimes.process.environment import compose_environment
from dataplane.agent.runtimes.process.fence import FenceFile
from dataplane.agent.runtimes.process.identity import Identity
from dataplane.agent.runtimes.process.logs import LogReader, pack_log, read_last_lines
from dataplane.agent.runtimes.process.nursery import Nursery, readable
from dataplane.agent.runtimes.protocol import Job, NoLogError, Tell
from shared.blobs.errors import BlobError
from shared.kit.clock import Clock
from shared.model.ids import AttemptId
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind

logger = logging.getLogger(__name__)

_ROUNDS_OF_KILLING = 100
_LOOK_FOR_LINES_EVERY = timedelta(milliseconds=200)


class StartError(Exception):
    """The attempt's process could not be started; the message is for an operator."""


class ProcessRuntime:
    def __init__(
        self,
        *,
        root: Path,
        nursery: Nursery,
        stores: Stores,
        base: dict[str, str],
        endpoint: Endpoint,
        grace: timedelta,
        clock: Clock,
    ) -> None:
        self._root = root
        self._fence = FenceFile(root.with_name("fence"))
        self._nursery = nursery
        self._stores = stores
        self._base = base
        self._endpoint = endpoint
        self._grace = grace
        self._clock = clock
        self._running: set[AttemptId] = set()

    async def run(self, job: Job, tell: Tell, stop: asyncio.Event) -> News:
        attempt = job.assignment.attempt
        directory = self.directory(attempt)
        self._running.add(attempt)
        try:
            if directory.find_shim() is None and job.told is not Phase.RUNNING:
                if not stop.is_set():
                    await tell(News(phase=Phase.INITIALIZING, reason="StartingProcess"))
                    await self._start(directory, self._prepare(job))
                elif self._withdraw(directory):
                    return News(phase=Phase.ABORTED)
            await tell(News(phase=Phase.RUNNING, log_links=render_log_links(job)))
            ended = await self._watch(directory, stop)
            return await self._conclude(job, directory, ended)
        except StartError as error:
            return _failed("StartFailed", str(error))
        except BlobError as error:
            return _failed("StorageUnavailable", str(error))
        finally:
            self._running.discard(attempt)

    async def follow(self, attempt: AttemptId, after_line: int) -> AsyncIterator[LogChunk]:
        directory = self.directory(attempt)
        if attempt not in self._running and not directory.path.is_dir():
            raise NoLogError(f"this cluster has no log of attempt {attempt}, or has it no longer")
        reader = LogReader(directory.log)
        while True:
            over = attempt not in self._running  # asked before reading: nothing comes after
            chunk = reader.read(after_line) if directory.log.exists() else None
            if chunk is not None:
                yield chunk
            elif over:
                return
            else:
                await self._clock.sleep(_LOOK_FOR_LINES_EVERY)

    async def sweep(self, held: Collection[AttemptId], older_than: timedelta) -> int:
        """
        Remove the directories of attempts that are over and not held; return how many.

        A process whose attempt nobody holds is stopped: its directory goes next time.
        """
        kept = {str(attempt) for attempt in held}
        swept = 0
        for directory in AttemptDirectory.all_below(self._root):
            if directory.path.name in kept:
                continue
            shim = directory.find_shim()
            if directory.find_exit() is None and shim is not None and _is_alive(shim):
                logger.warning("stopping a process nobody holds", extra={"pid": shim.pid})
                shim.send_signal(signal.SIGTERM)
            elif self._age(directory) >= older_than:
                await asyncio.to_thread(shutil.rmtree, directory.path, ignore_errors=True)
                swept += 1
        return swept

    def allow_until(self, at: datetime) -> None:
        """Let what may be begun elsewhere run until then, with this agent or without it."""
        self._fence.open_for((at - self._clock.now()).total_seconds())

    def directory(self, attempt: AttemptId) -> AttemptDirectory:
        return AttemptDirectory(self._root / str(attempt))

    def _age(self, directory: AttemptDirectory) -> timedelta:
        return timedelta(seconds=self._clock.now().timestamp() - directory.path.stat().st_mtime)

    def _prepare(self, job: Job) -> Start:
        container = job.task.container
        if container is None:
            raise StartError(f"task {job.task.name} has no container")
        args = substitute(container.args, job.assignment)
        environment = compose_environment(job, self._base, self._endpoint)
        program = shutil.which(args[0], path=environment["PATH"])
        if program is None:
            raise StartError(
                f"there is no {args[0]} on the PATH of the agent; install the flyte package "
                "in its environment"
            )
        _make_local(job.assignment.output_prefix)
        max_runtime = job.task.max_runtime
        return Start(
            argv=[program, *args[1:]],
            env=environment,
            notes=list(list_ignored(job, RuntimeKind.PROCESS)),
            max_runtime_seconds=None if max_runtime is None else max_runtime.total_seconds(),
            memory_limit=container.memory_limit,
            grace_seconds=self._grace.total_seconds(),
            line_bytes=limits.LINE_BYTES,
            log_bytes=limits.LOG_BYTES,
            fence=str(self._fence.path) if job.assignment.replaceable else None,
        )

    async def _start(self, directory: AttemptDirectory, start: Start) -> None:
        try:
            await asyncio.to_thread(directory.make, start)
        except OSError as error:
            raise StartError(f"{directory.path} cannot be made: {error}") from error
        if await self._nursery.start(directory, start):
            return
        if not self._withdraw(directory):
            return
        raise StartError(
            f"the attempt's process did not start; its keeper said: {_tail(directory.complaints)}"
        )

    def _withdraw(self, directory: AttemptDirectory) -> bool:
        """Leave nothing to start to a shim that comes late; False if one has come."""
        directory.discard_start()
        return directory.find_shim() is None

    async def _watch(self, directory: AttemptDirectory, stop: asyncio.Event) -> Exit | None:
        """Wait until the attempt's process has ended, and tell how; None if nobody knows."""
        shim = directory.find_shim()
        if shim is None:  # it ran, and its claim is gone: the disk lost it, or somebody took it
            await asyncio.to_thread(_kill_orphans, None, directory)
            return None
        descriptor = shim.open_pidfd()
        if descriptor is not None:
            try:
                async with asyncio.TaskGroup() as tasks:
                    stopping = tasks.create_task(self._pass_on(stop, directory, shim))
                    await readable(descriptor)
                    stopping.cancel()
            finally:
                os.close(descriptor)
        ended = directory.find_exit()
        if ended is None:
            await asyncio.to_thread(_kill_orphans, shim, directory)
        return ended

    async def _pass_on(
        self, stop: asyncio.Event, directory: AttemptDirectory, shim: Identity
    ) -> None:
        await stop.wait()
        directory.ask_to_stop()
        shim.send_signal(signal.SIGTERM)

    async def _conclude(self, job: Job, directory: AttemptDirectory, ended: Exit | None) -> News:
        assignment = job.assignment
        left = Remains(
            exit=ended,
            output_prefix=assignment.output_prefix,
            last_lines=await asyncio.to_thread(read_last_lines, directory.log, limits.LAST_LINES),
            max_runtime_seconds=None
            if job.task.max_runtime is None
            else job.task.max_runtime.total_seconds(),
            memory_limit=None if job.task.container is None else job.task.container.memory_limit,
        )
        left = await self._collect(job, left)
        phase, failure = judge(left)
        return News(
            phase=phase,
            failure=failure,
            output_uri=assignment.output_prefix if phase is Phase.SUCCEEDED else "",
            report_uri=await remains.find_report(self._stores, job),
            log_uri=await self._ship_log(job, directory),
        )

    async def _collect(self, job: Job, left: Remains) -> Remains:
        """Add what the task left in the store, as far as it decides how the attempt ended."""
        ended = left.exit
        if ended is not None and ended.killed_for is not None and ended.code != 0:
            return left  # we killed it
        error = await remains.read_error(self._stores, job)
        if error is not None:
            return replace(left, error=error)
        if ended is None or ended.killed_for is not None:
            return replace(left, outputs_written=await remains.has_outputs(self._stores, job))
        if ended.code == 0:
            missing = await remains.are_outputs_missing(self._stores, job)
            return replace(left, outputs_missing=missing)
        return left

    async def _ship_log(self, job: Job, directory: AttemptDirectory) -> str:
        try:
            packed = await asyncio.to_thread(pack_log, directory.log)
        except FileNotFoundError:
            return ""  # it never came so far as to have one
        return await remains.ship_log(self._stores, job, packed)


def _kill_orphans(shim: Identity | None, directory: AttemptDirectory) -> None:
    """
    Kill every process of an attempt whose shim has ended or whose claim is lost.

    ``shim`` is None if the claim is lost. A live shim is then found by its working directory:
    the mark in the environment of a task is not there before its exec, nor in a forked one.
    """
    mark = f"{ATTEMPT_VARIABLE}={directory.path.name}".encode()
    sessions = {shim.pid} if shim is not None and shim.keeps_its_pid else set()
    for _ in range(_ROUNDS_OF_KILLING):  # each may find what was forked during the one before
        shims = trees.list_working_in(directory.path)
        sessions.update(shims)
        orphans = {*shims, *trees.list_marked(mark)}
        for leader in sessions:
            orphans.update(trees.list_session(leader), trees.list_descendants(leader))
        if not orphans:
            return
        trees.send_signal(orphans, signal.SIGKILL)
    logger.warning("processes do not die", extra={"attempt": directory.path.name})


def _is_alive(shim: Identity) -> bool:
    descriptor = shim.open_pidfd()
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def _failed(code: str, message: str) -> News:
    failure = Failure(code=code, kind=FailureKind.SYSTEM, message=message)
    return News(phase=Phase.FAILED, failure=failure)


def _make_local(prefix: str) -> None:
    """Make the directory of an output prefix that is one."""
    url = urlsplit(prefix)
    if url.scheme in {"", "file"}:
        Path(url.path).mkdir(parents=True, exist_ok=True)


def _tail(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[-2000:].strip() or "nothing"
    except FileNotFoundError:
        return "nothing"
