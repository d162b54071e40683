"""Reads an attempt's error, outputs and report from the blob store, and uploads its log there."""

import logging

from flyteidl2.core import execution_pb2
from google.protobuf.message import DecodeError

from dataplane.agent.core import attempt_limits
from dataplane.agent.core.endings import TaskError
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.protocol import Job
from shared.blobs.errors import BlobError, BlobNotFoundError, BlobTooLargeError
from shared.model.reports import FailureKind

logger = logging.getLogger(__name__)

LOG_NAME = "logs.jsonl.gz"
OUTPUTS_NAME = "outputs.pb"


async def read_error(stores: Stores, job: Job) -> TaskError | None:
    """Return the error that the task wrote to error.pb; None if there is no error.pb."""
    uri = f"{job.assignment.output_prefix}/error.pb"
    store = stores.of(job.assignment)
    try:
        body = await stores.with_retries(
            lambda: store.read(uri, limit=attempt_limits.ERROR_BYTES),
            attempt_limits.STORAGE_TIMEOUT,
        )
        document = execution_pb2.ErrorDocument.FromString(body)
    except BlobNotFoundError:
        return None
    except BlobTooLargeError as error:
        return _unreadable(uri, str(error))
    except DecodeError:
        return _unreadable(uri, f"{uri} is not an ErrorDocument")
    found = document.error
    return TaskError(
        code=found.code,
        message=found.message,
        kind=FailureKind.SYSTEM
        if found.origin == execution_pb2.ExecutionError.SYSTEM
        else FailureKind.USER,
        recoverable=found.kind != execution_pb2.ContainerError.NON_RECOVERABLE,
        uri=uri,
    )


def _unreadable(uri: str, why: str) -> TaskError:
    message = f"the task failed, and its error cannot be read: {why}"
    return TaskError(
        code="UnreadableError", message=message, kind=FailureKind.USER, recoverable=True, uri=uri
    )


async def are_outputs_missing(stores: Stores, job: Job) -> bool:
    return bool(job.task.outputs) and not await has_outputs(stores, job)


async def find_report(stores: Stores, job: Job) -> str:
    """Return the URI of the task's report; "" if it has none."""
    if not job.task.has_report:
        return ""
    uri = f"{job.assignment.output_prefix}/report.html"
    store = stores.of(job.assignment)
    found = await stores.with_retries(lambda: store.exists(uri), attempt_limits.STORAGE_TIMEOUT)
    return uri if found else ""


async def has_outputs(stores: Stores, job: Job) -> bool:
    """Whether outputs.pb exists: the SDK writes it last, when the task has succeeded."""
    uri = f"{job.assignment.output_prefix}/{OUTPUTS_NAME}"
    store = stores.of(job.assignment)
    return await stores.with_retries(lambda: store.exists(uri), attempt_limits.STORAGE_TIMEOUT)


async def ship_log(stores: Stores, job: Job, packed: bytes) -> str:
    """Upload the gzip'd log next to the outputs; return its URI, or "" if the upload failed."""
    uri = log_uri(job)
    try:
        store = stores.of(job.assignment)
        await stores.with_retries(
            lambda: store.write(uri, packed), attempt_limits.LOG_SHIPPING_TIMEOUT
        )
    except BlobError:
        logger.warning("log upload failed", extra={"uri": uri}, exc_info=True)
        return ""
    return uri


def log_uri(job: Job) -> str:
    """Return the URI of the attempt's uploaded log, whether or not it exists yet."""
    return f"{job.assignment.output_prefix}/{LOG_NAME}"
