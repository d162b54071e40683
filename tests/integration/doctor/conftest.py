"""A control plane's answers to a doctor, on a real socket and a real database."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest

from controlplane.link.probe_service import Probes
from controlplane.store.resources.clusters import save_cluster
from controlplane.usecases.agent_sessions import AgentSessions
from dataplane.agent.secret_managers.choice import NoManager
from dataplane.agent.settings import ProcessSettings, Settings
from shared.idl.agent.v1 import probe_pb2_grpc
from shared.kit.clock import Clock, SystemClock
from tests.factories import NOW, ORG
from tests.integration.store.conftest import CLUSTER, Store, store
from tests.kube.certificates import Authority, Identity

__all__ = ["store"]

TOKEN = "a-token-of-a-test-long-enough"  # noqa: S105


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Where it listens, and what its operator gave to the agent."""

    address: str  # of the link
    token_file: Path


@asynccontextmanager
async def answering(
    store: Store,
    home: Path,
    *,
    base: str,
    clock: Clock | None = None,
    shows: Identity | None = None,
) -> AsyncIterator[ControlPlane]:
    """Serve probes, with TLS if there is something to show."""
    async with store.database.for_org(ORG) as tx:
        await save_cluster(tx, CLUSTER, hashlib.sha256(TOKEN.encode()).digest(), NOW)
    clock = clock or SystemClock()
    server = grpc.aio.server()
    probes = Probes(AgentSessions(store.database, clock), clock, blob_base=base)
    probe_pb2_grpc.add_ProbeServiceServicer_to_server(  # type: ignore[no-untyped-call]
        probes, server
    )
    async with serving(server, shows) as address:
        token_file = home / "token"
        token_file.write_text(f"{TOKEN}\n")
        yield ControlPlane(address, token_file)


@asynccontextmanager
async def serving(server: grpc.aio.Server, shows: Identity | None = None) -> AsyncIterator[str]:
    """Give the server's ``host:port``."""
    if shows is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        pair = (shows.key.read_bytes(), shows.certificate.read_bytes())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def make_settings(
    address: str, token_file: Path, *, ca_file: Path | None = None, api: str = "127.0.0.1:1"
) -> Settings:
    return Settings(
        control_plane=address.split(","),
        token_file=token_file,
        ca_file=ca_file,
        configured_public_endpoint=api,
        slots=1,
        grace=timedelta(seconds=1),
        retention=timedelta(),
        runtime=ProcessSettings(
            data_dir=token_file.parent,
            warm=False,
            stop_attempts=False,
        ),
        secret_manager=NoManager(),
    )


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))
