"""The agent's chart installed by the real helm, in a namespace that takes no careless pod."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.charts.values import AGENT, put
from tests.kube.client import KubeClient
from tests.kube.controlplane import KubeForTests
from tests.servers.helm import CHARTS, Helm, helm

__all__ = ["helm"]

AGENT_CHART = CHARTS / "volary-agent"
RELEASE = "volary"
NAME = "volary-agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """An agent's release without its pods: no controller creates them here."""

    helm: Helm
    kube: KubeForTests
    namespace: str

    @property
    def account(self) -> str:
        return f"system:serviceaccount:{self.namespace}:{NAME}"

    def client(self) -> KubeClient:
        """Enter as the agent."""
        return self.kube.client(self.account)

    def kubeconfig(self) -> Path:
        """The same, for programs."""
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{self.namespace}"]
        return self.kube.kubeconfig(self.account, groups)

    def upgrade(self, **changes: Any) -> None:
        self.helm.run(
            *("upgrade", RELEASE, AGENT_CHART, f"--namespace={self.namespace}"),
            values=put(AGENT, **changes),
        )


@asynccontextmanager
async def installed(
    helm: Helm, kube: KubeForTests, api: KubeClient, **changes: Any
) -> AsyncIterator[Installed]:
    """Install it for the length of a block."""
    cluster = helm.with_cluster(kube.kubeconfig())
    async with api.namespace() as namespace:
        await api.patch(
            f"/api/v1/namespaces/{namespace}",
            {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
        )
        cluster.run(
            *("install", RELEASE, AGENT_CHART, f"--namespace={namespace}"),
            values=put(AGENT, **changes),
        )
        try:
            yield Installed(helm=cluster, kube=kube, namespace=namespace)
        finally:
            cluster.run("uninstall", RELEASE, f"--namespace={namespace}", "--ignore-not-found")


@pytest.fixture
async def agent(helm: Helm, kube_api: KubeForTests, api: KubeClient) -> AsyncIterator[Installed]:
    async with installed(helm, kube_api, api) as release:
        yield release
