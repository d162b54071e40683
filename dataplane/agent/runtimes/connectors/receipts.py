"""
Records the creation of an attempt's job in the blob store, so that it is created only once.

CreateTask is not idempotent: a second call creates a second job. So ``connector.begun`` is
written next to the outputs before the call, only if it does not exist yet, and
``connector.pb``, with which the job can be watched and deleted, as soon as the call has
returned. An agent that finds the first without the second, after a crash between the two or
while another agent is creating the job, creates nothing.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

from flyteidl2.connector import connector_pb2
from google.protobuf.message import DecodeError

from dataplane.agent.core import attempt_limits
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.connectors import connector_limits
from dataplane.agent.runtimes.protocol import Job
from shared.blobs.errors import BlobExistsError, BlobNotFoundError

_RECEIPT = "connector.pb"
_BEGUN = "connector.begun"
_BEGUN_BYTES = 64


class UnreadableReceiptError(Exception):
    """The attempt's connector.pb exists, but cannot be parsed."""


@dataclass(frozen=True, slots=True)
class Receipts:
    """Receipts of jobs: each is the GetTaskRequest that reads the job's status, without secrets."""

    stores: Stores

    async def find(self, job: Job) -> connector_pb2.GetTaskRequest | None:
        store, uri = self.stores.of(job.assignment), _uri(job, _RECEIPT)
        try:
            body = await self.stores.with_retries(
                lambda: store.read(uri, limit=connector_limits.MESSAGE_BYTES),
                attempt_limits.STORAGE_TIMEOUT,
            )
            return connector_pb2.GetTaskRequest.FromString(body)
        except BlobNotFoundError:
            return None
        except DecodeError as error:
            raise UnreadableReceiptError(f"{uri} is not a connector job's receipt") from error

    async def begin(self, job: Job) -> bool:
        """Claim the creation of the job; False if it was claimed before, finished or not."""
        store, uri = self.stores.of(job.assignment), _uri(job, _BEGUN)
        mark = uuid4().hex.encode()

        async def claim() -> None:
            await store.write_stream(uri, _once(mark), replace=False)

        try:
            await self.stores.with_retries(claim, attempt_limits.STORAGE_TIMEOUT)
        except BlobExistsError:
            # Possibly our own claim: a write whose answer was lost is retried.
            found = await self.stores.with_retries(
                lambda: store.read(uri, limit=_BEGUN_BYTES), attempt_limits.STORAGE_TIMEOUT
            )
            return found == mark
        return True

    async def keep(self, job: Job, receipt: connector_pb2.GetTaskRequest) -> None:
        store, uri = self.stores.of(job.assignment), _uri(job, _RECEIPT)
        body = receipt.SerializeToString()
        await self.stores.with_retries(
            lambda: store.write(uri, body), attempt_limits.STORAGE_TIMEOUT
        )


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _uri(job: Job, name: str) -> str:
    return f"{job.assignment.output_prefix}/{name}"
