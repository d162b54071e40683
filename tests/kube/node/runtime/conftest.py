"""An agent's runtime on a node where pods run."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import yaml

from tests.kube.attempts import Agent, agent_in
from tests.kube.client import KubeClient
from tests.servers.kubernetes import NodeForTests

CRDS = Path(__file__).parents[4] / "infra" / "helm" / "volary-agent" / "crds"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

Begin = Callable[..., AbstractAsyncContextManager[Agent]]


@pytest.fixture
async def begin(
    kube_node: NodeForTests, node_api: KubeClient, node_namespace: str, tmp_path: Path
) -> Begin:
    """Return how an agent's life begins, in a namespace of the test's own."""
    definition = yaml.safe_load((CRDS / "taskactions.yaml").read_text())
    path = f"{_DEFINITIONS}/{definition['metadata']['name']}"
    if not await node_api.exists(path):
        await node_api.create(_DEFINITIONS, definition)
    await node_api.wait_for(
        path,
        lambda made: any(
            one["type"] == "Established" and one["status"] == "True"
            for one in made["status"].get("conditions") or ()
        ),
    )
    authority = {"metadata": {"name": "volary-proxy"}, "data": {"ca.crt": "none"}}
    await node_api.create(f"{node_namespace}/configmaps", authority)
    namespace = node_namespace.rpartition("/")[2]
    return lambda **output: agent_in(kube_node.kube.kubeconfig(), namespace, tmp_path, **output)
