"""An agent's runtime on an API server, where the test is scheduler and kubelet."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.kube.api.runtime.kubelet import Kubelet
from tests.kube.attempts import Agent, agent_in
from tests.kube.client import KubeClient
from tests.kube.controlplane import KubeForTests

Begin = Callable[..., AbstractAsyncContextManager[Agent]]


@pytest.fixture
def begin(kube_api: KubeForTests, place: str, tmp_path: Path, task_actions: None) -> Begin:
    """Return how an agent's life begins, in a namespace of the test's own."""
    del task_actions
    return lambda **output: agent_in(kube_api.kubeconfig(), place, tmp_path, **output)


@pytest.fixture
def kubelet(api: KubeClient) -> Kubelet:
    return Kubelet(api)
