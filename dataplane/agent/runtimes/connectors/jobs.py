"""Creates an attempt's job through its connector, polls it to its end, and deletes it."""

import asyncio
import logging
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from flyteidl2.connector import connector_pb2
from flyteidl2.core import security_pb2

from dataplane.agent.core import attempt_limits
from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.core.endings import failure_of_error
from dataplane.agent.runtimes.artifacts import are_outputs_missing, find_report, read_error
from dataplane.agent.runtimes.connectors import connector_limits, requests
from dataplane.agent.runtimes.connectors.client import (
    ConnectorClient,
    ConnectorError,
    ConnectorRefusedError,
    ConnectorUnavailableError,
)
from dataplane.agent.runtimes.connectors.endpoints import Endpoints
from dataplane.agent.runtimes.connectors.judging import (
    CREATING,
    read_failure,
    read_phase,
    read_reason,
)
from dataplane.agent.runtimes.connectors.receipts import Receipts
from dataplane.agent.runtimes.connectors.transcript import Transcript
from dataplane.agent.runtimes.log_links import render_log_links
from dataplane.agent.runtimes.protocol import Job, ReportStatus
from shared.blobs.errors import BlobError
from shared.kit.backoff import Backoff
from shared.kit.clock import Clock
from shared.model.phases import TERMINAL, Phase
from shared.model.reports import Failure, FailureKind, LogLink

logger = logging.getLogger(__name__)

_MAX_DELETE_FAILURES = 3  # refused deletions after which a job is left running


class LostJobError(Exception):
    """The attempt has ended although its job may still run; the failure says why."""

    def __init__(self, failure: Failure, phase: Phase = Phase.FAILED) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.phase = phase


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Poll intervals of a job, and timeouts of its connector."""

    first: timedelta = connector_limits.POLL_MIN
    at_most: timedelta = connector_limits.POLL_MAX
    unavailable_timeout: timedelta = connector_limits.UNAVAILABLE_TIMEOUT
    dial: timedelta = connector_limits.DIAL_TIMEOUT
    creation_grace: timedelta = connector_limits.CREATE_TIMEOUT * 2  # another agent's creation

    def pause(self, polls: int) -> timedelta:
        """Return the time until the next poll, after ``polls`` polls without a change."""
        growing = Backoff(first=self.first, at_most=self.at_most, factor=1.5, jitter=0.3)
        return growing.delay(polls + 1)


@dataclass(slots=True, kw_only=True)
class RemoteJob:
    """An attempt's job in the service behind a connector."""

    job: Job
    client: ConnectorClient
    endpoints: Endpoints
    connection: security_pb2.Connection = field(repr=False)
    receipts: Receipts
    log: Transcript
    report_status: ReportStatus
    stop: asyncio.Event
    pace: Pace
    clock: Clock
    _links: dict[str, str] = field(default_factory=dict)  # URIs by name

    async def create(self) -> connector_pb2.GetTaskRequest | None:
        """Create the job unless its creation has begun; return its receipt, None if stopped."""
        inputs = await requests.read_inputs(self.receipts.stores, self.job)
        request = requests.create_request(self.job, inputs, self.connection)
        if not await self._wait_until_reachable():
            return None
        await self.report_status(StatusUpdate(phase=Phase.INITIALIZING, reason=CREATING))
        # Runs from the claim to the receipt even if the agent is stopped meanwhile.
        receipt = await self.endpoints.finish(self._create(request))
        return await self._wait_for_receipt() if receipt is None else receipt

    async def _create(
        self, request: connector_pb2.CreateTaskRequest
    ) -> connector_pb2.GetTaskRequest | None:
        """Create the job; None if its creation was claimed before."""
        if not await self.receipts.begin(self.job):
            return None
        try:
            resource_meta = await self.client.create(request)
        except ConnectorUnavailableError as error:
            raise lost(
                f"the connector did not confirm whether it created the job: {error}"
            ) from error
        receipt = requests.make_receipt(self.job, resource_meta)
        try:
            await self.receipts.keep(self.job, receipt)
        except BlobError:
            await self._delete(receipt)  # without a receipt no agent could find it again
            raise
        return receipt

    async def watch(self, receipt: connector_pb2.GetTaskRequest) -> StatusUpdate:
        """Poll the job until it ends or is to stop; return the attempt's terminal status."""
        request = requests.get_request(receipt, self.connection)
        polls = 0
        reason = ""
        failing_since: datetime | None = None
        while True:
            # Read before the poll: a job that ended before the stop has ended by itself.
            is_stopped, is_overdue = self.stop.is_set(), self._remaining_runtime() <= timedelta(0)
            try:
                resource = await self.client.get_status(request)
            except ConnectorError as error:
                failing_since = failing_since or self.clock.now()
                await self._tolerate(receipt, failing_since, error)
            else:
                failing_since = None
                await self._log_resource(resource)
                phase = read_phase(resource)
                if phase in TERMINAL:
                    return await self._conclude(resource)
                if phase is not None and read_reason(resource) != reason:
                    reason, polls = read_reason(resource), 0
                    await self.report_status(self._update(phase, reason, resource.message))
            if is_stopped or is_overdue:
                last = await self._delete(receipt)
                if last is not None and read_phase(last) is Phase.SUCCEEDED:
                    return await self._conclude(last)  # it succeeded before it was deleted
                if is_stopped:
                    return self._update(Phase.ABORTED)
                raise self._max_runtime_exceeded()
            await self._pause(polls)
            polls += 1

    async def _wait_until_reachable(self) -> bool:
        """
        Wait for the connector before the job is claimed, while retrying is still safe.

        False once the attempt is to stop; ConnectorUnavailableError after the timeout.
        """
        since = self.clock.now()
        while not self.stop.is_set():
            try:
                await self.client.wait_until_reachable(self.pace.dial)
            except ConnectorUnavailableError as error:
                if self.clock.now() - since > self.pace.unavailable_timeout:
                    raise
                await self.log.say(str(error))
                update = StatusUpdate(
                    phase=Phase.QUEUED, reason="ConnectorAway", message=str(error)
                )
                await self.report_status(update)
            else:
                return True
        return False

    async def _wait_for_receipt(self) -> connector_pb2.GetTaskRequest | None:
        """Wait for the receipt of another agent that claimed the creation and may still run."""
        deadline = self.clock.now() + self.pace.creation_grace
        while self.clock.now() < deadline:
            receipt = await self.receipts.find(self.job)
            if receipt is not None or self.stop.is_set():
                return receipt
            await self._pause(polls=0)
        raise lost("an agent ended while it created the attempt's job, before recording the job")

    async def _tolerate(
        self, receipt: connector_pb2.GetTaskRequest, since: datetime, error: ConnectorError
    ) -> None:
        """Log a failed poll; delete the job and raise once polls have failed for too long."""
        await self.log.say(str(error))
        if self.clock.now() - since > self.pace.unavailable_timeout:
            await self._delete(receipt)
            raise lost(f"its job's status can no longer be read: {error}") from error

    async def _log_resource(self, resource: connector_pb2.Resource) -> None:
        for link in resource.log_links:
            if self._links.get(link.name) != link.uri:
                self._links[link.name] = link.uri
                await self.log.say(f"{link.name}: {link.uri}")
        await self.log.say(resource.message)

    def _update(self, phase: Phase, reason: str = "", message: str = "") -> StatusUpdate:
        links = [LogLink(name, uri) for name, uri in self._links.items()]
        of_task = render_log_links(self.job)
        return StatusUpdate(
            phase=phase, reason=reason, message=message, log_links=[*of_task, *links]
        )

    async def _conclude(self, resource: connector_pb2.Resource) -> StatusUpdate:
        stores, prefix = self.receipts.stores, self.job.assignment.output_prefix
        failure = None
        if read_phase(resource) is Phase.FAILED:
            failure = read_failure(resource)
        elif resource.HasField("outputs") or not self.job.task.outputs:
            store, body = stores.of(self.job.assignment), resource.outputs.SerializeToString()
            await stores.with_retries(
                lambda: store.write(f"{prefix}/outputs.pb", body), attempt_limits.STORAGE_TIMEOUT
            )
        if self.job.task.container is not None:  # it may have run the SDK's entry point
            error = await read_error(stores, self.job)
            failure = failure if error is None else failure_of_error(error)
        if failure is None and await are_outputs_missing(stores, self.job):
            failure = Failure(
                code="OutputsMissing",
                kind=FailureKind.USER,
                message="the job succeeded, but its connector returned no outputs, and there is "
                f"no outputs.pb under {prefix}",
            )
        if failure is not None:
            return replace(self._update(Phase.FAILED), failure=failure)
        report = await find_report(stores, self.job)
        return replace(self._update(Phase.SUCCEEDED), output_uri=prefix, report_uri=report)

    async def _delete(self, receipt: connector_pb2.GetTaskRequest) -> connector_pb2.Resource | None:
        """Delete the job and wait until it has ended; return its last state, None if unknown."""
        request = requests.delete_request(receipt, self.connection)
        since, failures = self.clock.now(), 0
        while True:
            try:
                await self.client.delete(request)
                return await self._wait_until_deleted(receipt)
            except ConnectorError as error:
                failures += isinstance(error, ConnectorRefusedError)
                await self.log.say(str(error))
                if (
                    failures == _MAX_DELETE_FAILURES
                    or self.clock.now() - since > self.pace.unavailable_timeout
                ):
                    logger.warning(
                        "connector job not deleted, it may run on",
                        extra={"attempt": str(self.job.assignment.attempt), "error": str(error)},
                    )
                    return None
                await self.clock.sleep(self.pace.first)

    async def _wait_until_deleted(
        self, receipt: connector_pb2.GetTaskRequest
    ) -> connector_pb2.Resource | None:
        request = requests.get_request(receipt, self.connection)
        deadline = self.clock.now() + connector_limits.DELETE_TIMEOUT
        while self.clock.now() < deadline:
            try:
                resource = await self.client.get_status(request)
            except ConnectorError:
                return None  # forgotten, or its connector is unavailable; deletion was accepted
            if read_phase(resource) in TERMINAL:
                return resource
            await self.clock.sleep(self.pace.first)
        return None

    def _remaining_runtime(self) -> timedelta:
        if self.job.task.max_runtime is None:
            return timedelta.max
        return self.job.accepted_at + self.job.task.max_runtime - self.clock.now()

    def _max_runtime_exceeded(self) -> LostJobError:
        limit = (self.job.task.max_runtime or timedelta(0)).total_seconds()
        failure = Failure(
            code="MAX_RUNTIME_EXCEEDED",
            kind=FailureKind.USER,
            message=f"the task ran longer than its max runtime of {limit:g} s and was deleted",
        )
        return LostJobError(failure, Phase.TIMED_OUT)

    async def _pause(self, polls: int) -> None:
        """Wait until the next poll, the max runtime, or the request to stop."""
        delay = min(self.pace.pause(polls), max(self._remaining_runtime(), timedelta(0)))
        try:
            async with asyncio.timeout(delay.total_seconds()):
                await self.stop.wait()
        except TimeoutError:
            pass  # time for the next poll


def lost(message: str) -> LostJobError:
    """Return the error for a job whose state is unknown; it fails the attempt as ConnectorLost."""
    return LostJobError(Failure(code="ConnectorLost", kind=FailureKind.SYSTEM, message=message))
