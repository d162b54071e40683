"""What an attempt left in the store: its error, its outputs, its report; and its log is put beside them."""

import logging

from flyteidl2.core import execution_pb2
from google.protobuf.message import DecodeError

from dataplane.agent.core import limits
from dataplane.agent.core.endings import TaskError
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.protocol import Job
from shared.blobs.errors import BlobError, BlobNotFoundError, BlobTooLargeError
from shared.model.reports import FailureKind

logger = logging.getLogger(__name__)

LOG_NAME = "logs.jsonl.gz"
OUTPUTS_NAME = "outputs.pb"


async def read_error(stores: Stores, job: Job) -> TaskError | None:
    """Return what the task wrote into error.pb, None if it wrote none."""
    uri = f"{job.assignment.output_prefix}/error.pb"
    store = stores.of(job.assignment)
    try:
        body = await stores.patiently(
            lambda: store.read(uri, limit=limits.ERROR_BYTES), limits.STORAGE_TIMEOUT
        )
        document = execution_pb2.ErrorDocument.FromString(body)
    except BlobNotFoundError:
        return None
    except BlobTooLargeError as error:
        return _unreadable(uri, str(error))
    except DecodeError:
        return _unreadable(uri, f"{uri} is no ErrorDocument")
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
    message = f"the task failed, and its error cannot be shown: {why}"
    return TaskError(
        code="UnreadableError", message=message, kind=FailureKind.USER, recoverable=True, uri=uri
    )


async def are_outputs_missing(stores: Stores, job: Job) -> bool:
    return bool(job.task.outputs) and not await has_outputs(stores, job)


async def find_report(stores: Stores, job: Job) -> str:
    """Return where the task's report is, "" if it has none."""
    if not job.task.has_report:
        return ""
    uri = f"{job.assignment.output_prefix}/report.html"
    store = stores.of(job.assignment)
    found = await stores.patiently(lambda: store.exists(uri), limits.STORAGE_TIMEOUT)
    return uri if found else ""


async def has_outputs(stores: Stores, job: Job) -> bool:
    """Whether the SDK wrote outputs.pb: the last thing it does when all went well."""
    uri = f"{job.assignment.output_prefix}/{OUTPUTS_NAME}"
    store = stores.of(job.assignment)
    return await stores.patiently(lambda: store.exists(uri), limits.STORAGE_TIMEOUT)


async def ship_log(stores: Stores, job: Job, packed: bytes) -> str:
    """Put the log, gzip'd lines, beside the outputs; return where, "" if that failed."""
    uri = log_uri(job)
    try:
        store = stores.of(job.assignment)
        await stores.patiently(lambda: store.write(uri, packed), limits.LOG_SHIPPING_TIMEOUT)
    except BlobError:
        logger.warning("a log was not shipped", extra={"uri": uri}, exc_info=True)
        return ""
    return uri


def log_uri(job: Job) -> str:
    """Return where the attempt's shipped log is, or will be."""
    return f"{job.assignment.output_prefix}/{LOG_NAME}"
