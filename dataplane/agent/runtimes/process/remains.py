"""What an attempt left in the store: its error, its outputs, its report; and its log, shipped."""

import asyncio
import gzip
import logging
import shutil
from io import BytesIO
from pathlib import Path

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


async def read_error(stores: Stores, job: Job) -> TaskError | None:
    """Return what the task wrote into error.pb, None if it wrote none."""
    uri = f"{job.assignment.output_prefix}/error.pb"
    store = stores.of(job.assignment)
    try:
        body = await stores.patiently(
            lambda: store.read(uri, limit=limits.ERROR_BYTES), limits.STORAGE_PATIENCE
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
    if not job.task.outputs:
        return False
    uri = f"{job.assignment.output_prefix}/outputs.pb"
    store = stores.of(job.assignment)
    return not await stores.patiently(lambda: store.exists(uri), limits.STORAGE_PATIENCE)


async def find_report(stores: Stores, job: Job) -> str:
    """Return where the task's report is, "" if it has none."""
    if not job.task.has_report:
        return ""
    uri = f"{job.assignment.output_prefix}/report.html"
    store = stores.of(job.assignment)
    found = await stores.patiently(lambda: store.exists(uri), limits.STORAGE_PATIENCE)
    return uri if found else ""


async def ship_log(stores: Stores, job: Job, log: Path) -> str:
    """Copy the log, compressed, beside the outputs; return where, "" if that failed."""
    uri = f"{job.assignment.output_prefix}/{LOG_NAME}"
    store = stores.of(job.assignment)
    try:
        body = await asyncio.to_thread(_compress, log)
        await stores.patiently(lambda: store.write(uri, body), limits.LOG_SHIPPING_PATIENCE)
    except FileNotFoundError:
        return ""  # it never came so far as to have one
    except BlobError:
        logger.warning("a log was not shipped", extra={"uri": uri}, exc_info=True)
        return ""
    return uri


def _compress(path: Path) -> bytes:
    packed = BytesIO()
    with path.open("rb") as file, gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as gz:
        shutil.copyfileobj(file, gz)
    return packed.getvalue()
