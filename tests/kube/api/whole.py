"""Fixtures of a whole installation except for nodes: SDK calls reach the API server."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from tests.kube.client import KubeClient
from tests.kube.controlplane import KubeForTests
from tests.kube.node.examples.world import NAMESPACE, TASKS, World, label_namespace, running
from tests.servers import seaweed
from tests.servers.kubernetes import NodeForTests
from tests.servers.postgres import DatabaseForTest

_NAMESPACES = "/api/v1/namespaces"
_MACHINE = "127.0.0.1"


@asynccontextmanager
async def places(api: KubeClient, secrets: Mapping[str, str]) -> AsyncIterator[None]:
    """Create the namespaces of the agent and of tasks, with their secrets."""
    for name in (NAMESPACE, TASKS):
        await api.create(_NAMESPACES, {"metadata": label_namespace(name)})
    secret = {"metadata": {"name": "volary-secrets"}, "stringData": dict(secrets)}
    await api.create(f"{_NAMESPACES}/{TASKS}/secrets", secret)
    yield
    for name in (NAMESPACE, TASKS):
        await api.delete(f"{_NAMESPACES}/{name}")
        await api.wait_until_gone(f"{_NAMESPACES}/{name}")


@contextmanager
def without_a_node(kube: KubeForTests, database: DatabaseForTest, home: Path) -> Iterator[World]:
    """Start a control plane and a bucket; the test starts the agent."""
    place = SimpleNamespace(network=SimpleNamespace(machine=_MACHINE))
    no_node = cast("NodeForTests", SimpleNamespace(kube=kube, place=place))
    with seaweed.running(_MACHINE) as s3, running(World(home, no_node, s3, database)) as world:
        yield world
