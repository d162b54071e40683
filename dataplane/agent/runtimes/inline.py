"""Runs ``core-sleep`` and ``echo`` tasks inside the agent, without a process."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from flyteidl2.core import literals_pb2
from flyteidl2.task import common_pb2
from google.protobuf.message import DecodeError

from dataplane.agent.core import attempt_limits
from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.protocol import Job, ReportStatus
from shared.blobs.errors import BlobError
from shared.kit.clock import Clock
from shared.model.ids import AttemptId
from shared.model.logs import LogChunk
from shared.model.phases import Phase
from shared.model.reports import Failure, FailureKind

SLEEP = "core-sleep"
ECHO = "echo"

_NOTHING: tuple[LogChunk, ...] = ()


class InlineError(Exception):
    """The inputs do not fit the task type; the message is for the task's author."""


class InlineRuntime:
    """
    Runs ``core-sleep`` and ``echo`` inside the agent.

    ``core-sleep`` waits; ``echo`` copies its inputs to its outputs. Both are idempotent, so
    after a restart of the agent they run again; a sleep is measured from its acceptance.
    """

    def __init__(self, stores: Stores, clock: Clock) -> None:
        self._stores = stores
        self._clock = clock

    async def run(self, job: Job, report_status: ReportStatus, stop: asyncio.Event) -> StatusUpdate:
        try:
            if job.task.type == SLEEP:
                return await self._sleep(job, report_status, stop)
            return await self._echo(job)
        except (InlineError, BlobError) as error:
            kind = FailureKind.USER if isinstance(error, InlineError) else FailureKind.SYSTEM
            failure = Failure(code="BadInputs", kind=kind, message=str(error))
            return StatusUpdate(phase=Phase.FAILED, failure=failure)

    async def follow(self, attempt: AttemptId, after_line: int) -> AsyncIterator[LogChunk]:  # noqa: ARG002 - the protocol's
        """Yield nothing: inline tasks write no log."""
        for chunk in _NOTHING:
            yield chunk

    async def _sleep(
        self, job: Job, report_status: ReportStatus, stop: asyncio.Event
    ) -> StatusUpdate:
        duration = await self._read_duration(job)
        slept = self._clock.now() - job.accepted_at
        remaining = duration - max(slept, timedelta(0))  # the clock may have been set back since
        if duration > timedelta(0) and remaining > timedelta(0):
            await report_status(StatusUpdate(phase=Phase.RUNNING))
            try:
                async with asyncio.timeout(remaining.total_seconds()):
                    await stop.wait()
                return StatusUpdate(phase=Phase.ABORTED)
            except TimeoutError:
                pass  # the sleep has elapsed
        return StatusUpdate(phase=Phase.SUCCEEDED, output_uri=job.assignment.output_prefix)

    async def _read_duration(self, job: Job) -> timedelta:
        """Return the first duration among the inputs, or else the first number, in seconds."""
        if not job.task.inputs:
            return timedelta(0)
        inputs = await self._read_inputs(job)
        by_name = {literal.name: literal.value.scalar.primitive for literal in inputs.literals}
        for variable in sorted(job.task.inputs, key=lambda item: not item.is_duration):
            if variable.name not in by_name:
                continue
            primitive = by_name[variable.name]
            try:
                if primitive.HasField("duration"):
                    return timedelta(microseconds=primitive.duration.ToMicroseconds())
                if primitive.HasField("integer"):
                    return timedelta(seconds=primitive.integer)
                if primitive.HasField("float_value"):
                    return timedelta(seconds=primitive.float_value)
            except (OverflowError, ValueError) as error:
                raise InlineError(
                    f"input {variable.name} of {job.task.name} is not a valid sleep time: {error}"
                ) from error
        raise InlineError(
            f"{SLEEP} needs an input that is a duration or a number of seconds; "
            f"{job.task.name} has none"
        )

    async def _echo(self, job: Job) -> StatusUpdate:
        inputs = await self._read_inputs(job) if job.task.inputs else common_pb2.Inputs()
        given = {literal.name: literal.value for literal in inputs.literals}
        names = [variable.name for variable in job.task.inputs]
        if len(names) != len(job.task.outputs):
            raise InlineError(
                f"{ECHO} copies each input to an output; {job.task.name} has {len(names)} "
                f"inputs and {len(job.task.outputs)} outputs: declare as many of each"
            )
        outputs = common_pb2.Outputs(
            literals=[
                common_pb2.NamedLiteral(
                    name=output.name, value=given.get(name, literals_pb2.Literal())
                )
                for name, output in zip(names, job.task.outputs, strict=True)
            ]
        )
        prefix = job.assignment.output_prefix
        store = self._stores.of(job.assignment)
        body = outputs.SerializeToString()
        await self._stores.with_retries(
            lambda: store.write(f"{prefix}/outputs.pb", body), attempt_limits.STORAGE_TIMEOUT
        )
        return StatusUpdate(phase=Phase.SUCCEEDED, output_uri=prefix)

    async def _read_inputs(self, job: Job) -> common_pb2.Inputs:
        store = self._stores.of(job.assignment)
        uri = job.assignment.input_uri
        body = await self._stores.with_retries(
            lambda: store.read(uri, limit=attempt_limits.INPUTS_BYTES),
            attempt_limits.STORAGE_TIMEOUT,
        )
        try:
            return common_pb2.Inputs.FromString(body)
        except DecodeError as error:
            raise InlineError(f"{uri} is not a valid inputs.pb") from error
