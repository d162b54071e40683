"""Fixtures: the agent's client on the test's API server, and the CRD of TaskActions."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from dataplane.agent.kube.client import Kube
from tests.kube.client import KubeClient
from tests.kube.controlplane import KubeForTests

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_TASK_ACTIONS = (
    Path(__file__).parents[3] / "infra" / "helm" / "volary-agent" / "crds" / "taskactions.yaml"
)


@pytest.fixture
async def kube(kube_api: KubeForTests) -> AsyncIterator[Kube]:
    async with Kube.open(kube_api.kubeconfig()) as opened:
        yield opened


@pytest.fixture
def place(namespace: str) -> str:
    """Name of a namespace for this test only."""
    return namespace.rpartition("/")[2]


@pytest.fixture
async def task_actions(api: KubeClient) -> None:
    """Install the chart's CRD of TaskActions, for the session."""
    definition = yaml.safe_load(_TASK_ACTIONS.read_text())
    path = f"{_DEFINITIONS}/{definition['metadata']['name']}"
    if not await api.exists(path):
        await api.create(_DEFINITIONS, definition)
    await api.wait_for(
        path,
        lambda made: any(
            condition["type"] == "Established" and condition["status"] == "True"
            for condition in made["status"].get("conditions") or ()
        ),
    )
