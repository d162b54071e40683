"""
gRPC client of one connector server; every call has a timeout.

* ConnectorError: the message is for users.
    - ConnectorUnavailableError: no answer, or not in time; the same call may succeed later.
    - ConnectorRefusedError: the connector answered with an error that a retry does not fix.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import grpc
import grpc.aio
from flyteidl2.connector import connector_pb2, service_pb2_grpc

from dataplane.agent.runtimes.connectors import connector_limits

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

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


class ConnectorClient:
    """
    Calls one connector server, over one channel that the first call opens.

    Another one is opened when the CA file has changed; calls under way end on the one before.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._channel: grpc.aio.Channel | None = None
        self._roots: bytes | None = None  # of that channel
        self._replaced: list[grpc.aio.Channel] = []

    def __repr__(self) -> str:
        return f"<ConnectorClient {self.endpoint}>"

    async def close(self) -> None:
        for channel in (*self._replaced, self._channel):
            if channel is not None:
                await channel.close()

    async def wait_until_reachable(self, within: timedelta = connector_limits.DIAL_TIMEOUT) -> None:
        """Wait until the channel is ready; ConnectorUnavailableError after ``within``."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._open().channel_ready()
        except TimeoutError:
            raise ConnectorUnavailableError(
                f"no connector answers at {self.endpoint}; start it, or correct the agent's "
                "setting for connectors"
            ) from None

    async def list_categories(self) -> Sequence[Category]:
        stub = service_pb2_grpc.ConnectorMetadataServiceStub(self._open())
        timeout = connector_limits.GET_TIMEOUT.total_seconds()
        call = stub.ListConnectors(connector_pb2.ListConnectorsRequest(), timeout=timeout)
        answer = await self._call("list its task types", call)
        return [
            Category(category.name, category.version)
            for connector in answer.connectors
            for category in connector.supported_task_categories
        ]

    async def create(self, request: connector_pb2.CreateTaskRequest) -> bytes:
        """Create the job; return its resource_meta, the connector's opaque identifier of it."""
        timeout = connector_limits.CREATE_TIMEOUT.total_seconds()
        call = self._tasks.CreateTask(request, timeout=timeout)
        answer = await self._call("create the job", call)
        return bytes(answer.resource_meta)

    async def get_status(self, request: connector_pb2.GetTaskRequest) -> connector_pb2.Resource:
        timeout = connector_limits.GET_TIMEOUT.total_seconds()
        call = self._tasks.GetTask(request, timeout=timeout)
        answer = await self._call("report the job's status", call)
        return answer.resource

    async def delete(self, request: connector_pb2.DeleteTaskRequest) -> None:
        timeout = connector_limits.CREATE_TIMEOUT.total_seconds()
        await self._call("delete the job", self._tasks.DeleteTask(request, timeout=timeout))

    def _open(self) -> grpc.aio.Channel:
        if self._channel is not None and self.endpoint.ca_file is None:
            return self._channel
        try:
            roots = _read_roots(self.endpoint)
        except ConnectorSettingError as error:
            if self._channel is None:
                raise
            logger.warning("authorities not reloaded", extra={"error": str(error)})
            return self._channel
        if self._channel is not None and roots != self._roots:
            self._replaced.append(self._channel)
            self._channel = None
        if self._channel is None:
            self._channel, self._roots = _open_channel(self.endpoint, roots), roots
        return self._channel

    @property
    def _tasks(self) -> service_pb2_grpc.AsyncConnectorServiceStub:
        return service_pb2_grpc.AsyncConnectorServiceStub(self._open())

    async def _call(self, action: str, call: Awaitable[_T]) -> _T:
        with self._translated(action):
            return await call

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
