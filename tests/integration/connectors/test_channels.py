"""How a connector is reached: addresses, TLS, and words that are cut."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import psutil
import pytest
from flyteidl2.connector import connector_pb2, service_pb2_grpc

from dataplane.agent.runtimes.connectors.client import (
    Category,
    ConnectorClient,
    ConnectorRefusedError,
    ConnectorSettingError,
    ConnectorUnavailableError,
    Endpoint,
)
from dataplane.agent.runtimes.connectors.endpoints import parse_endpoint
from tests.kube.certificates import Authority
from tests.running import until

_SHORTLY = timedelta(seconds=5)


class _Lists(service_pb2_grpc.ConnectorMetadataServiceServicer):  # type: ignore[misc]
    async def ListConnectors(  # noqa: N802 - the protocol's
        self, request: connector_pb2.ListConnectorsRequest, context: object
    ) -> connector_pb2.ListConnectorsResponse:
        del request, context
        category = connector_pb2.TaskCategory(name="query", version=2)
        connector = connector_pb2.Connector(name="c", supported_task_categories=[category])
        return connector_pb2.ListConnectorsResponse(connectors=[connector])


class _Refuses(service_pb2_grpc.AsyncConnectorServiceServicer):  # type: ignore[misc]
    async def CreateTask(  # noqa: N802 - the protocol's
        self, request: connector_pb2.CreateTaskRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> connector_pb2.CreateTaskResponse:
        del request
        await context.abort(grpc.StatusCode.INTERNAL, "no such table " + "x" * 6_000)
        raise AssertionError


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
async def address(authority: Authority) -> AsyncIterator[str]:
    """A connector server that speaks TLS."""
    identity = authority.issue("connector", reached_at=["localhost"])
    credentials = grpc.ssl_server_credentials(
        [(identity.key.read_bytes(), identity.certificate.read_bytes())]
    )
    server = grpc.aio.server()
    service_pb2_grpc.add_ConnectorMetadataServiceServicer_to_server(_Lists(), server)
    service_pb2_grpc.add_AsyncConnectorServiceServicer_to_server(_Refuses(), server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    yield f"localhost:{port}"
    await server.stop(grace=None)


async def test_connector_with_configured_ca_is_trusted(address: str, authority: Authority) -> None:
    client = ConnectorClient(parse_endpoint(f"grpcs://{address}?ca={authority.certificate}"))
    try:
        await client.wait_until_reachable(_SHORTLY)
        assert await client.list_categories() == [Category("query", 2)]
    finally:
        await client.close()


async def test_connector_with_other_ca_is_unavailable(address: str, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    client = ConnectorClient(parse_endpoint(f"grpcs://{address}?ca={stranger.certificate}"))
    try:
        with pytest.raises(ConnectorUnavailableError):
            await client.wait_until_reachable(timedelta(milliseconds=500))
    finally:
        await client.close()


async def test_connector_of_another_authority_is_trusted_once_its_ca_file_is_replaced(
    address: str, authority: Authority, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.crt"
    ca_file.write_bytes(Authority(tmp_path / "stranger").certificate.read_bytes())
    client = ConnectorClient(parse_endpoint(f"grpcs://{address}?ca={ca_file}"))
    try:
        with pytest.raises(ConnectorUnavailableError):
            await client.wait_until_reachable(timedelta(milliseconds=500))
        ca_file.write_bytes(authority.certificate.read_bytes())
        assert await client.list_categories() == [Category("query", 2)]
        ca_file.unlink()  # the authorities before stay trusted
        assert await client.list_categories() == [Category("query", 2)]
    finally:
        await client.close()


async def test_channel_of_replaced_ca_file_is_closed_while_the_client_is_used_on(
    address: str, authority: Authority, tmp_path: Path
) -> None:
    ca_file = tmp_path / "ca.crt"
    certificate = authority.certificate.read_bytes()
    ca_file.write_bytes(certificate)
    client = ConnectorClient(parse_endpoint(f"grpcs://{address}?ca={ca_file}"))
    try:
        for copies in range(1, 4):
            ca_file.write_bytes(certificate * copies)
            assert await client.list_categories() == [Category("query", 2)]
        await until(lambda: _connections_to(address) == 1, "only the last channel is connected")
        assert await client.list_categories() == [Category("query", 2)]
    finally:
        await client.close()
    await until(lambda: _connections_to(address) == 0, "the client has disconnected")


def _connections_to(address: str) -> int:
    port = int(address.rpartition(":")[2])
    return sum(
        bool(each.raddr) and each.raddr.port == port and each.status == psutil.CONN_ESTABLISHED
        for each in psutil.Process().net_connections("tcp")
    )


async def test_connector_error_message_is_truncated(address: str, authority: Authority) -> None:
    client = ConnectorClient(parse_endpoint(f"grpcs://{address}?ca={authority.certificate}"))
    try:
        with pytest.raises(ConnectorRefusedError, match="no such table") as refused:
            await client.create(connector_pb2.CreateTaskRequest())
        assert len(str(refused.value)) < 5_000
    finally:
        await client.close()


async def test_missing_ca_file_is_named() -> None:
    client = ConnectorClient(parse_endpoint("grpcs://localhost:1?ca=/no/such.crt"))
    with pytest.raises(ConnectorSettingError, match=r"/no/such\.crt"):
        await client.wait_until_reachable(_SHORTLY)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("connectors.team:8000", Endpoint(address="connectors.team:8000")),
        ("grpc://10.0.0.1:80", Endpoint(address="10.0.0.1:80")),
        ("grpcs://c.team:443", Endpoint(address="c.team:443", secure=True)),
        (
            "grpcs://c.team:443?ca=/etc/ca.crt",
            Endpoint(address="c.team:443", secure=True, ca_file=Path("/etc/ca.crt")),
        ),
    ],
)
def test_addresses(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize("text", ["", "host", "http://host:1", "host:1/path", "host:1?ca=/x"])
def test_invalid_connector_address_is_rejected(text: str) -> None:
    with pytest.raises(ConnectorSettingError, match="is not a connector address"):
        parse_endpoint(text)
