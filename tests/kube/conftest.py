"""A way in and a namespace for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.kube.client import KubeClient
from tests.kube.controlplane import KubeForTests
from tests.servers.kubernetes import NodeForTests


@pytest.fixture
async def api(kube_api: KubeForTests) -> AsyncIterator[KubeClient]:
    async with kube_api.client() as client:
        yield client


@pytest.fixture
async def namespace(api: KubeClient) -> AsyncIterator[str]:
    """Where a test of the API server may do as it likes: the path of a namespace."""
    async with api.namespace() as name:
        yield f"/api/v1/namespaces/{name}"


@pytest.fixture
async def node_api(kube_node: NodeForTests) -> AsyncIterator[KubeClient]:
    async with kube_node.kube.client() as client:
        yield client


@pytest.fixture
async def node_namespace(node_api: KubeClient) -> AsyncIterator[str]:
    """Where a test's pods run: the path of a namespace."""
    async with node_api.namespace() as name:
        yield f"/api/v1/namespaces/{name}"
