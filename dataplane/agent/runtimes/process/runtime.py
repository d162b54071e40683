"""
Runs the SDK's ``a0`` from the agent's environment as a local process, under a shim per attempt.

The agent may die at any point: the next one finds the attempt's directory, checks whether
a shim has claimed it, waits for the shim if it is alive, and reads its exit file if not.
A claimed attempt is never started again, nor is one that ran and whose directory is gone.
An attempt whose state cannot be read is killed and fails; others are not affected.
"""

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from dataplane.agent.core import attempt_limits
from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.core.attempt_tokens import FindToken
from dataplane.agent.core.endings import (
    CRASHES,
    PROCESS_LOST,
    AttemptArtifacts,
    Exit,
    classify,
    event_of_late_crash,
    failure_of_exit,
)
from dataplane.agent.runtimes import artifacts
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.environment import Endpoint, substitute
from dataplane.agent.runtimes.features import RuntimeKind, list_ignored
from dataplane.agent.runtimes.log_links import render_log_links
from dataplane.agent.runtimes.process import process_tree
from dataplane.agent.runtimes.process.api_tokens import ApiTokens
from dataplane.agent.runtimes.process.directory import AttemptDirectory, Start, Withdrawn
from dataplane.agent.runtimes.process.environment import compose_environment
from dataplane.agent.runtimes.process.fence import FenceFile
from dataplane.agent.runtimes.process.logs import LogReader, pack_log, read_last_lines
from dataplane.agent.runtimes.process.process_identity import Identity
from dataplane.agent.runtimes.process.secrets import ProcessSecrets, resolve
from dataplane.agent.runtimes.process.spawner import Spawner
from dataplane.agent.runtimes.process.state_files import StateUnreadableError
from dataplane.agent.runtimes.process.watching import Bounds, kill_all, request_stop, wait_for_end
from dataplane.agent.runtimes.protocol import Job, NoLogError, ReportStatus
from dataplane.agent.runtimes.secrets import NoSecretSource, SecretError, TaskSecrets
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.blobs.errors import BlobError
from shared.kit.clock import Clock
from shared.model.ids import AttemptId
from shared.model.logs import LogChunk
from shared.model.phases import Phase
from shared.model.reports import ClusterEvent, Failure, FailureKind

logger = logging.getLogger(__name__)

_LOG_POLL_INTERVAL = timedelta(milliseconds=200)


class StartError(Exception):
    """The attempt's process could not be started; the message is for an operator."""


class ProcessRuntime:
    """Runs attempts as local processes below ``root``; ``tokens`` has to be run with it."""

    def __init__(
        self,
        *,
        root: Path,
        spawner: Spawner,
        stores: Stores,
        base: dict[str, str],
        endpoint: Endpoint,
        grace: timedelta,
        clock: Clock,
        secrets: TaskSecrets | None = None,
        find_token: FindToken | None = None,
        shim_margin: timedelta = attempt_limits.SHIM_MARGIN,
    ) -> None:
        self._root = root
        self._fence = FenceFile(root.with_name("fence"))
        self._spawner = spawner
        self._stores = stores
        self._base = base
        self._endpoint = endpoint
        self._bounds = Bounds(grace=grace, margin=shim_margin)
        self._clock = clock
        self._secrets = secrets or TaskSecrets(NoSecretSource())
        self.tokens = ApiTokens(None if endpoint.insecure else find_token, clock)
        self._running: set[AttemptId] = set()

    async def run(self, job: Job, report_status: ReportStatus, stop: asyncio.Event) -> StatusUpdate:
        attempt = job.assignment.attempt
        directory = self.directory(attempt)
        self._running.add(attempt)
        try:
            return await self._run(job, directory, report_status, stop)
        except StateUnreadableError as error:
            return await self._quarantine(job, directory, error)
        except StartError as error:
            return _failed("StartFailed", str(error))
        except BadSpecError as error:
            return _bad_spec(error)
        except SecretError as error:
            if stop.is_set():
                return StatusUpdate(phase=Phase.ABORTED)
            return StatusUpdate(phase=Phase.FAILED, failure=error.failure)
        except BlobError as error:
            return _failed("StorageUnavailable", str(error))
        finally:
            self._running.discard(attempt)

    async def _run(
        self,
        job: Job,
        directory: AttemptDirectory,
        report_status: ReportStatus,
        stop: asyncio.Event,
    ) -> StatusUpdate:
        claim = directory.find_claim()
        secrets = ProcessSecrets()
        if claim is None and job.last_reported is not Phase.RUNNING:
            if not stop.is_set():
                await report_status(
                    StatusUpdate(phase=Phase.INITIALIZING, reason="StartingProcess")
                )
                secrets = await resolve(job, self._secrets, directory.secrets, stop)
            if stop.is_set():
                if directory.withdraw(Withdrawn()):
                    return StatusUpdate(phase=Phase.ABORTED)
                claim = directory.find_claim()
        async with self.tokens.kept(job.assignment, directory):
            if claim is None and job.last_reported is not Phase.RUNNING:
                await self._start(directory, self._prepare(job, secrets), secrets)
                claim = directory.find_claim()
            if isinstance(claim, Withdrawn):
                directory.remove_secrets()
                return _withdrawn(claim)
            await report_status(StatusUpdate(phase=Phase.RUNNING, log_links=render_log_links(job)))
            ended = await self._watch(job, directory, claim, stop)
        return await self._conclude(job, directory, ended)

    async def follow(self, attempt: AttemptId, after_line: int) -> AsyncIterator[LogChunk]:
        directory = self.directory(attempt)
        if attempt not in self._running and not directory.path.is_dir():
            raise NoLogError(f"this cluster has no log of attempt {attempt}, or has deleted it")
        reader = LogReader(directory.log)
        while True:
            over = attempt not in self._running  # read first: no line is written after the end
            chunk = reader.read(after_line)
            if chunk is None and not over:
                chunk = reader.read_partial()
            if chunk is not None:
                if chunk.lines or chunk.partial:
                    yield chunk
                await asyncio.sleep(0)  # yield to the event loop, however long the log is
            elif over:
                return
            else:
                await self._clock.sleep(_LOG_POLL_INTERVAL)

    async def sweep(self, held: Collection[AttemptId], older_than: timedelta) -> int:
        """
        Delete the directories of ended attempts that are not in ``held``; return how many.

        ``held``: the attempts in the agent's ledger. An orphaned process, of an attempt not
        among them, is stopped; a later sweep deletes its directory.
        """
        kept = {str(attempt) for attempt in held}
        swept = 0
        for directory in AttemptDirectory.all_below(self._root):
            if directory.path.name in kept:
                continue
            fields = {"attempt": directory.path.name}
            try:
                swept += await self._sweep(directory, older_than)
            except StateUnreadableError as error:
                logger.error("attempt quarantined", extra={**fields, "detail": str(error)})  # noqa: TRY400 - not a bug
                await asyncio.to_thread(kill_all, directory, None)
                directory.quarantine(error, _unreadable(error))
            except OSError:
                logger.warning("attempt sweep failed", extra=fields, exc_info=True)
        return swept

    async def kill_unheld(self, held: Collection[AttemptId]) -> None:
        """Kill the processes of attempts not in ``held``, before they can start elsewhere."""
        kept = {str(attempt) for attempt in held}
        for directory in AttemptDirectory.all_below(self._root):
            fields = {"attempt": directory.path.name}
            if directory.path.name in kept:
                continue
            try:
                shim = directory.find_shim()
                alive = shim is not None and shim.is_alive
            except (OSError, StateUnreadableError):
                shim, alive = None, bool(process_tree.list_with_stderr(directory.shim_stderr))
            if alive:
                logger.warning("killing orphaned attempt", extra=fields)
                await asyncio.to_thread(kill_all, directory, shim)

    async def _sweep(self, directory: AttemptDirectory, older_than: timedelta) -> bool:
        """Stop the attempt's process, or delete its directory; whether it was deleted."""
        shim = directory.find_shim()
        has_ended = directory.find_exit() is not None
        if not has_ended and shim is not None and shim.is_alive:
            requested_at = directory.stop_requested_at
            fields = {"attempt": directory.path.name, "pid": shim.pid}
            stop_timeout = self._bounds.stop_timeout.total_seconds()
            if requested_at is None:
                logger.warning("stopping orphaned attempt", extra=fields)
                request_stop(shim, directory)
            elif self._clock.now().timestamp() - requested_at > stop_timeout:
                logger.error("killing orphaned attempt", extra=fields)
                await asyncio.to_thread(kill_all, directory, shim)
            return False
        if has_ended:
            await asyncio.to_thread(directory.remove_secrets)
        if self._age(directory) < older_than:
            return False
        if not has_ended:
            await asyncio.to_thread(kill_all, directory, shim)
        await asyncio.to_thread(directory.remove)
        return True

    def allow_until(self, at: datetime) -> None:
        """Let attempts that may be restarted elsewhere run until then, even if the agent dies."""
        self._fence.open_for((at - self._clock.now()).total_seconds())

    def directory(self, attempt: AttemptId) -> AttemptDirectory:
        return AttemptDirectory(self._root / str(attempt))

    def _age(self, directory: AttemptDirectory) -> timedelta:
        return timedelta(seconds=self._clock.now().timestamp() - directory.modified_at)

    def _prepare(self, job: Job, secrets: ProcessSecrets) -> Start:
        container = job.task.container
        if container is None:
            raise StartError(f"task {job.task.name} has no container")
        args = substitute(container.args, job.assignment)
        directory = self.directory(job.assignment.attempt)
        environment = compose_environment(job, self._base, self._endpoint, directory, secrets.env)
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
            notes=[*list_ignored(job, RuntimeKind.PROCESS), *secrets.notes],
            max_runtime_seconds=None if max_runtime is None else max_runtime.total_seconds(),
            memory_limit=container.memory_limit,
            grace_seconds=self._bounds.grace.total_seconds(),
            line_bytes=attempt_limits.LINE_BYTES,
            log_bytes=attempt_limits.LOG_BYTES,
            fence=str(self._fence.path) if job.assignment.replaceable else None,
        )

    async def _start(
        self, directory: AttemptDirectory, start: Start, secrets: ProcessSecrets
    ) -> None:
        try:
            await asyncio.to_thread(directory.make, start, secrets.files)
        except OSError as error:
            raise StartError(f"{directory.path} cannot be created: {error}") from error
        if await self._spawner.start(directory, start):
            return
        message = (
            f"the attempt's process did not start; its shim wrote: {directory.read_shim_stderr()}"
        )
        if directory.withdraw(Withdrawn("StartFailed", message)):
            raise StartError(message)

    async def _watch(
        self, job: Job, directory: AttemptDirectory, shim: Identity | None, stop: asyncio.Event
    ) -> Exit | None:
        """Wait until the attempt's process has ended, and return how; None if that is unknown."""
        if shim is not None:
            await wait_for_end(
                shim,
                directory,
                stop,
                max_runtime=job.task.max_runtime,
                bounds=self._bounds,
                clock=self._clock,
            )
            ended = directory.find_exit()
            if ended is not None:
                return ended
        # It ran, but its claim or exit file is missing: it was killed, or the disk lost the file.
        await asyncio.to_thread(kill_all, directory, shim)
        return directory.find_exit()  # the shim may have written it just before its end

    async def _quarantine(
        self, job: Job, directory: AttemptDirectory, error: StateUnreadableError
    ) -> StatusUpdate:
        """Kill the attempt, and classify its end by its artifacts in the blob store."""
        logger.error("attempt quarantined", extra={"attempt": directory.path.name}, exc_info=error)
        await asyncio.to_thread(kill_all, directory, None)
        reason = _unreadable(error)
        directory.quarantine(error, reason)
        update = await self._conclude(job, directory, None)
        if update.failure is None or update.failure.code != PROCESS_LOST:
            return update
        failure = replace(update.failure, code=reason.code, message=reason.message)
        return replace(update, failure=failure)

    async def _conclude(
        self, job: Job, directory: AttemptDirectory, ended: Exit | None
    ) -> StatusUpdate:
        await asyncio.to_thread(directory.remove_secrets)
        found = AttemptArtifacts(
            exit=ended,
            output_prefix=job.assignment.output_prefix,
            directory_name=directory.path.name,
            last_lines=await asyncio.to_thread(
                read_last_lines, directory.log, attempt_limits.LAST_LINES
            ),
            max_runtime_seconds=None
            if job.task.max_runtime is None
            else job.task.max_runtime.total_seconds(),
            memory_limit=None if job.task.container is None else job.task.container.memory_limit,
        )
        found = await self._add_stored_artifacts(job, found)
        phase, failure = classify(found)
        return StatusUpdate(
            phase=phase,
            failure=failure,
            output_uri=job.assignment.output_prefix if phase is Phase.SUCCEEDED else "",
            report_uri=await artifacts.find_report(self._stores, job),
            log_uri=await self._ship_log(job, directory),
            events=self._note_late_crash(ended) if phase is Phase.SUCCEEDED else (),
        )

    def _note_late_crash(self, ended: Exit | None) -> Sequence[ClusterEvent]:
        if ended is None:
            return ()
        crash = failure_of_exit(code=ended.code, signal_number=ended.signal)
        return () if crash is None else [event_of_late_crash(crash, self._clock.now())]

    async def _add_stored_artifacts(self, job: Job, found: AttemptArtifacts) -> AttemptArtifacts:
        """Add the artifacts in the blob store that classifying the end needs."""
        ended = found.exit
        if ended is not None and ended.killed_for is not None and ended.code != 0:
            return found  # the shim killed it
        error = await artifacts.read_error(self._stores, job)
        if error is not None:
            return replace(found, error=error)
        if ended is None or ended.killed_for is not None or ended.signal in CRASHES:
            return replace(found, outputs_written=await artifacts.has_outputs(self._stores, job))
        if ended.code == 0:
            missing = await artifacts.are_outputs_missing(self._stores, job)
            return replace(found, outputs_missing=missing)
        return found

    async def _ship_log(self, job: Job, directory: AttemptDirectory) -> str:
        try:
            packed = await pack_log(directory.log)
        except FileNotFoundError:
            return ""  # it ended before it had a log
        return await artifacts.ship_log(self._stores, job, packed)


def _unreadable(error: StateUnreadableError) -> Withdrawn:
    message = (
        f"the attempt's state file was renamed because it is unreadable: {error}; a power cut may "
        "have damaged it, or the task overwrote it"
    )
    return Withdrawn("StateUnreadable", message)


def _withdrawn(reason: Withdrawn) -> StatusUpdate:
    if reason.code:
        return _failed(reason.code, reason.message)
    return StatusUpdate(phase=Phase.ABORTED)


def _failed(code: str, message: str) -> StatusUpdate:
    failure = Failure(code=code, kind=FailureKind.SYSTEM, message=message)
    return StatusUpdate(phase=Phase.FAILED, failure=failure)


def _bad_spec(error: BadSpecError) -> StatusUpdate:
    failure = Failure(code=error.code, kind=FailureKind.USER, message=str(error), recoverable=False)
    return StatusUpdate(phase=Phase.FAILED, failure=failure)


def _make_local(prefix: str) -> None:
    """Create the directory of an output prefix in a ``file://`` store."""
    url = urlsplit(prefix)
    if url.scheme in {"", "file"}:
        Path(url.path).mkdir(parents=True, exist_ok=True)
