"""A node with the images of the Containerfile, and both charts on it, once for these tests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from tests.kube import containerfile
from tests.kube.builds import NotBuiltError
from tests.kube.certificates import Authority
from tests.kube.client import KubeClient
from tests.kube.node.install import database
from tests.kube.node.install.world import Installation
from tests.servers import seaweed
from tests.servers.helm import Helm, helm
from tests.servers.kubernetes import NodeForTests

__all__ = ["helm"]


@pytest.fixture(scope="package")
def stocked_node(kube_node: NodeForTests) -> NodeForTests:
    """The node, with the images of the Containerfile by the names that the charts know."""
    try:
        archive = containerfile.find()
    except NotBuiltError as error:
        pytest.skip(str(error))
    kube_node.place.ctr("image", "import", archive)
    return kube_node


@pytest.fixture(scope="package")
def installation(
    stocked_node: NodeForTests, helm: Helm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    home = tmp_path_factory.mktemp("installed")
    machine = stocked_node.place.network.machine

    async def with_client(work: Callable[[KubeClient], Awaitable[object]]) -> None:
        async with stocked_node.kube.client() as kube:
            await work(kube)

    with seaweed.running(machine) as s3, database.running(machine) as postgres:
        there = Installation(
            home=home,
            node=stocked_node,
            helm=helm.with_cluster(stocked_node.kube.kubeconfig()),
            s3=s3,
            database=postgres,
            authority=Authority(home / "authority"),
        )
        asyncio.run(with_client(there.install_control_plane))
        asyncio.run(with_client(there.install_agent))
        asyncio.run(with_client(there.wait_until_ready))
        yield there
        asyncio.run(with_client(there.uninstall))


@pytest.fixture
async def kube(stocked_node: NodeForTests) -> AsyncIterator[KubeClient]:
    async with stocked_node.kube.client() as client:
        yield client
