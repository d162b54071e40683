"""
That an attempt's job was created, written down beside its outputs before it counts.

The protocol of connectors knows no request twice: asked again, a connector creates another
job. So ``connector.begun`` is written before it is asked, only if it is not there yet, and
``connector.pb``, by which the job can be watched and deleted, as soon as it has answered.
Who finds the first without the second, after a crash between the two or beside another
agent at work, creates nothing.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

from flyteidl2.connector import connector_pb2
from google.protobuf.message import DecodeError

from dataplane.agent.core import limits
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.protocol import Job
from shared.blobs.errors import BlobExistsError, BlobNotFoundError

_RECEIPT = "connector.pb"
_BEGUN = "connector.begun"
_BEGUN_BYTES = 64


class UnreadableReceiptError(Exception):
    """There is a receipt, and it is none."""


@dataclass(frozen=True, slots=True)
class Receipts:
    """A receipt is the GetTaskRequest that asks how the job does, without its secrets."""

    stores: Stores

    async def find(self, job: Job) -> connector_pb2.GetTaskRequest | None:
        store, uri = self.stores.of(job.assignment), _uri(job, _RECEIPT)
        try:
            body = await self.stores.patiently(
                lambda: store.read(uri, limit=limits.CONNECTOR_MESSAGE_BYTES),
                limits.STORAGE_TIMEOUT,
            )
            return connector_pb2.GetTaskRequest.FromString(body)
        except BlobNotFoundError:
            return None
        except DecodeError as error:
            raise UnreadableReceiptError(f"{uri} is no receipt of a connector's job") from error

    async def begin(self, job: Job) -> bool:
        """Claim the creation; False if it was claimed before, whatever became of it."""
        store, uri = self.stores.of(job.assignment), _uri(job, _BEGUN)
        mark = uuid4().hex.encode()

        async def claim() -> None:
            await store.write_stream(uri, _once(mark), replace=False)

        try:
            await self.stores.patiently(claim, limits.STORAGE_TIMEOUT)
        except BlobExistsError:
            # Perhaps by ourselves: a write whose answer was lost is tried again.
            there = await self.stores.patiently(
                lambda: store.read(uri, limit=_BEGUN_BYTES), limits.STORAGE_TIMEOUT
            )
            return there == mark
        return True

    async def keep(self, job: Job, receipt: connector_pb2.GetTaskRequest) -> None:
        store, uri = self.stores.of(job.assignment), _uri(job, _RECEIPT)
        body = receipt.SerializeToString()
        await self.stores.patiently(lambda: store.write(uri, body), limits.STORAGE_TIMEOUT)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _uri(job: Job, name: str) -> str:
    return f"{job.assignment.output_prefix}/{name}"
