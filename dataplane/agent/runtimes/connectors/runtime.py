"""
Runs attempts as jobs of an external service, through a connector.

The job is created once, polled, and deleted if the attempt is stopped. The attempt's
receipt (:mod:`.receipts`) outlives the agent, so a later agent resumes polling. A job that
is given up is deleted, if possible, before its attempt ends, so that no retry runs at the
same time.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

from google.protobuf.message import DecodeError

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.core.secrets import SecretsUnavailableError
from dataplane.agent.runtimes.artifacts import ship_log
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.connectors import connector_limits, requests
from dataplane.agent.runtimes.connectors.client import (
    ConnectorClient,
    ConnectorRefusedError,
    ConnectorSettingError,
    ConnectorUnavailableError,
)
from dataplane.agent.runtimes.connectors.endpoints import Endpoints
from dataplane.agent.runtimes.connectors.jobs import LostJobError, Pace, RemoteJob, lost
from dataplane.agent.runtimes.connectors.judging import is_of_job
from dataplane.agent.runtimes.connectors.receipts import Receipts, UnreadableReceiptError
from dataplane.agent.runtimes.connectors.transcript import Transcript
from dataplane.agent.runtimes.features import RuntimeKind, list_ignored
from dataplane.agent.runtimes.protocol import Job, NoLogError, ReportStatus
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.blobs.errors import BlobError, BlobStoreError
from shared.kit.cache import LruCache
from shared.kit.clock import Clock
from shared.model.ids import AttemptId
from shared.model.logs import LogChunk
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind

_T = TypeVar("_T")


class ConnectorRuntime:
    """Runs attempts through the connectors of ``endpoints``."""

    def __init__(
        self,
        endpoints: Endpoints,
        stores: Stores,
        clock: Clock,
        *,
        secrets: requests.SecretValues | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._stores = stores
        self._clock = clock
        self._secrets = secrets or requests.NoSecretValues()
        self._pace = pace or Pace()
        self._running: dict[AttemptId, Transcript] = {}
        self._over: LruCache[AttemptId, Transcript] = LruCache(connector_limits.LOGS_KEPT)

    def suits(self, job: Job, *, others: Collection[str]) -> bool:
        """
        Whether a connector is to run the job; ``others`` are the types of the other runtimes.

        A started attempt stays with its runtime, whatever task types connectors list by now.
        """
        if job.last_reported is not Phase.QUEUED:
            return is_of_job(job.last_reported_reason)
        if job.task.type in others:
            return self._endpoints.find(job.task.type) is not None
        return self._endpoints.may_serve(job.task.type)

    async def run(self, job: Job, report_status: ReportStatus, stop: asyncio.Event) -> StatusUpdate:
        async with self._logging(job) as log:
            if job.last_reported is Phase.QUEUED:
                for sentence in list_ignored(job, RuntimeKind.CONNECTORS):
                    await log.say(sentence)
            try:
                update = await self._run(job, report_status, stop, log)
            except LostJobError as error:
                update = StatusUpdate(phase=error.phase, failure=error.failure)
            except BadSpecError as error:
                update = _failed("BadSpec", FailureKind.USER, str(error))
            except DecodeError:
                uri = job.assignment.input_uri
                update = _failed("BadInputs", FailureKind.USER, f"{uri} is not a valid inputs.pb")
            except SecretsUnavailableError as error:
                update = _failed("SecretsUnavailable", FailureKind.SYSTEM, str(error))
            except ConnectorSettingError as error:
                update = _failed("NoConnector", FailureKind.SYSTEM, str(error))
            except ConnectorRefusedError as error:
                update = _failed("ConnectorRefused", FailureKind.USER, str(error))
            except ConnectorUnavailableError as error:
                update = _failed("ConnectorAway", FailureKind.SYSTEM, str(error))
            except (BlobError, UnreadableReceiptError) as error:
                update = _failed("StorageUnavailable", FailureKind.SYSTEM, str(error))
            if update.failure is not None:
                await log.say(update.failure.message)
            return replace(update, log_uri=await self._ship(job, log))

    async def follow(self, attempt: AttemptId, after_line: int) -> AsyncIterator[LogChunk]:
        log = self._running.get(attempt) or self._over.get(attempt)
        if log is None:
            raise NoLogError(f"this agent has no log of attempt {attempt}, or has deleted it")
        async for chunk in log.follow(after_line):
            yield chunk

    async def _run(
        self, job: Job, report_status: ReportStatus, stop: asyncio.Event, log: Transcript
    ) -> StatusUpdate:
        client = await self._find(job, report_status, stop, log)
        if client is None:
            return StatusUpdate(phase=Phase.ABORTED)
        receipts = Receipts(self._stores)
        receipt = await self._retry(lambda: receipts.find(job), stop, log)
        try:
            connection = await self._retry(lambda: requests.connect(job, self._secrets), stop, log)
        except (BadSpecError, SecretsUnavailableError) as error:
            if receipt is None:
                raise
            raise lost(f"its job's status can no longer be read; it may run on: {error}") from error
        remote = RemoteJob(
            job=job,
            client=client,
            endpoints=self._endpoints,
            connection=connection,
            receipts=receipts,
            log=log,
            report_status=report_status,
            stop=stop,
            pace=self._pace,
            clock=self._clock,
        )
        if receipt is None and not stop.is_set():
            receipt = await remote.create()
        if receipt is None:
            return StatusUpdate(phase=Phase.ABORTED)
        return await remote.watch(receipt)

    async def _find(
        self, job: Job, report_status: ReportStatus, stop: asyncio.Event, log: Transcript
    ) -> ConnectorClient | None:
        """Return the job's connector, waiting for unavailable ones; None once it is to stop."""
        since = self._clock.now()
        while True:
            client = self._endpoints.find(job.task.type)
            if client is not None:
                return client
            waited = self._clock.now() - since
            if stop.is_set():
                return None
            if self._endpoints.all_answered or waited > self._pace.unavailable_timeout:
                raise ConnectorSettingError(
                    f"no connector that answers serves tasks of type {job.task.type!r}; start "
                    "one, or correct the agent's setting for connectors"
                )
            message = f"waiting for a connector that serves tasks of type {job.task.type!r}"
            await log.say(message)
            await report_status(
                StatusUpdate(phase=Phase.QUEUED, reason="ConnectorAway", message=message)
            )
            await self._clock.sleep(self._pace.first)

    async def _retry(
        self, attempt: Callable[[], Awaitable[_T]], stop: asyncio.Event, log: Transcript
    ) -> _T:
        """Retry transient errors until the timeout: giving up would leave the job running."""
        since = self._clock.now()
        while True:
            try:
                return await attempt()
            except (BlobStoreError, SecretsUnavailableError) as error:
                if stop.is_set() or self._clock.now() - since > self._pace.unavailable_timeout:
                    raise
                await log.say(str(error))
            await self._clock.sleep(self._pace.first)

    async def _ship(self, job: Job, log: Transcript) -> str:
        if log.is_empty:
            return ""
        return await ship_log(self._stores, job, await asyncio.to_thread(log.pack))

    @asynccontextmanager
    async def _logging(self, job: Job) -> AsyncIterator[Transcript]:
        attempt = job.assignment.attempt
        log = self._running[attempt] = Transcript(self._clock)
        try:
            yield log
        finally:
            await log.end()
            self._over[attempt] = self._running.pop(attempt)


def _failed(code: str, kind: FailureKind, message: str) -> StatusUpdate:
    return StatusUpdate(phase=Phase.FAILED, failure=Failure(code=code, kind=kind, message=message))
