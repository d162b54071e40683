"""
gRPC client of one connector server; every call has a timeout.

* ConnectorError: the message is for users.
    - ConnectorUnavailableError: no answer, or not in time; the same call may succeed later.
    - ConnectorRefusedError: the connector answered with an error that a retry does not fix.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
from flyteidl2.connector import connector_pb2, service_pb2_grpc

from dataplane.agent.runtimes.connectors import connector_limits

logger = logging.getLogger(__name__)

_OPTIONS = (
    ("grpc.max_receive_message_length", connector_limits.MESSAGE_BYTES),
    ("grpc.max_send_message_length", connector_limits.MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)
_MESSAGE_CHARACTERS = 4_000  # of a connector's error message: SDKs send whole tracebacks

# Transient: the same request may succeed later.
_UNAVAILABLE = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
}


class ConnectorError(Exception):
    """A call to a connector failed; the message is for users."""


class ConnectorUnavailableError(ConnectorError):
    """The connector did not answer, or not in time; the same call may succeed later."""


class ConnectorRefusedError(ConnectorError):
    """The connector answered with an error that a retry does not fix."""


class ConnectorSettingError(Exception):
    """A connector endpoint cannot be used as configured; the message names the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Address and TLS settings of a connector server."""

    address: str  # host:port
    secure: bool = False
    ca_file: Path | None = None  # if ``secure``: trusted instead of the system's CAs

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True, slots=True, order=True)
class Category:
    """A task type and its version, as connectors list them."""

    name: str
    version: int

    def render(self) -> connector_pb2.TaskCategory:
        return connector_pb2.TaskCategory(name=self.name, version=self.version)


@dataclass(slots=True)
class _Connection:
    channel: grpc.aio.Channel
    roots: bytes | None
    calls: int = 0  # under way


class ConnectorClient:
    """
    Calls one connector server, over one channel that the first call opens.

    Another one is opened when the CA file has changed; calls under way end on the one before,
    which is closed after the last of them.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._connection: _Connection | None = None
        self._replaced: list[_Connection] = []

    def __repr__(self) -> str:
        return f"<ConnectorClient {self.endpoint}>"

    async def close(self) -> None:
        for connection in (*self._replaced, self._connection):
            if connection is not None:
                await connection.channel.close()

    async def wait_until_reachable(self, within: timedelta = connector_limits.DIAL_TIMEOUT) -> None:
        """Wait until the channel is ready; ConnectorUnavailableError after ``within``."""
        try:
            async with asyncio.timeout(within.total_seconds()), self._connected() as channel:
                await channel.channel_ready()
        except TimeoutError:
            raise ConnectorUnavailableError(
                f"no connector answers at {self.endpoint}; start it, or correct the agent's "
                "setting for connectors"
            ) from None

    async def list_categories(self) -> Sequence[Category]:
        request = connector_pb2.ListConnectorsRequest()
        timeout = connector_limits.GET_TIMEOUT.total_seconds()
        async with self._calling("list its task types") as channel:
            stub = service_pb2_grpc.ConnectorMetadataServiceStub(channel)
            answer = await stub.ListConnectors(request, timeout=timeout)
        return [
            Category(category.name, category.version)
            for connector in answer.connectors
            for category in connector.supported_task_categories
        ]

    async def create(self, request: connector_pb2.CreateTaskRequest) -> bytes:
        """Create the job; return its resource_meta, the connector's opaque identifier of it."""
        timeout = connector_limits.CREATE_TIMEOUT.total_seconds()
        async with self._calling("create the job") as channel:
            answer = await _tasks(channel).CreateTask(request, timeout=timeout)
        return bytes(answer.resource_meta)

    async def get_status(self, request: connector_pb2.GetTaskRequest) -> connector_pb2.Resource:
        timeout = connector_limits.GET_TIMEOUT.total_seconds()
        async with self._calling("report the job's status") as channel:
            answer = await _tasks(channel).GetTask(request, timeout=timeout)
        return answer.resource

    async def delete(self, request: connector_pb2.DeleteTaskRequest) -> None:
        timeout = connector_limits.CREATE_TIMEOUT.total_seconds()
        async with self._calling("delete the job") as channel:
            await _tasks(channel).DeleteTask(request, timeout=timeout)

    @asynccontextmanager
    async def _calling(self, action: str) -> AsyncIterator[grpc.aio.Channel]:
        with self._translated(action):
            async with self._connected() as channel:
                yield channel

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[grpc.aio.Channel]:
        """Hold the channel open for a call, even if another replaces it in the meantime."""
        connection = self._open()
        connection.calls += 1
        try:
            yield connection.channel
        finally:
            connection.calls -= 1
            unused = [each for each in self._replaced if not each.calls]
            self._replaced = [each for each in self._replaced if each.calls]
            for each in unused:
                await each.channel.close()

    def _open(self) -> _Connection:
        if self._connection is not None and self.endpoint.ca_file is None:
            return self._connection
        try:
            roots = _read_roots(self.endpoint)
        except ConnectorSettingError as error:
            if self._connection is None:
                raise
            logger.warning("authorities not reloaded", extra={"error": str(error)})
            return self._connection
        if self._connection is not None and roots != self._connection.roots:
            self._replaced.append(self._connection)
            self._connection = None
        if self._connection is None:
            self._connection = _Connection(_open_channel(self.endpoint, roots), roots)
        return self._connection

    @contextmanager
    def _translated(self, action: str) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            text = (error.details() or error.code().name).strip()[:_MESSAGE_CHARACTERS]
            message = f"the connector at {self.endpoint} did not {action}: {text}"
            if error.code() in _UNAVAILABLE:
                raise ConnectorUnavailableError(message) from error
            raise ConnectorRefusedError(message) from error


def _tasks(channel: grpc.aio.Channel) -> service_pb2_grpc.AsyncConnectorServiceStub:
    return service_pb2_grpc.AsyncConnectorServiceStub(channel)


def _read_roots(endpoint: Endpoint) -> bytes | None:
    if not endpoint.secure or endpoint.ca_file is None:
        return None
    try:
        return endpoint.ca_file.read_bytes()
    except OSError as error:
        raise ConnectorSettingError(
            f"the CA file {endpoint.ca_file} of the connector at {endpoint} cannot be read; "
            "correct the agent's setting for connectors"
        ) from error


def _open_channel(endpoint: Endpoint, roots: bytes | None) -> grpc.aio.Channel:
    if not endpoint.secure:
        return grpc.aio.insecure_channel(endpoint.address, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(root_certificates=roots)
    return grpc.aio.secure_channel(endpoint.address, credentials, options=_OPTIONS)
