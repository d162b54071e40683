"""An installation with a mistake in it: what people see, and what is left when they undo it."""

import asyncio
import shlex
from pathlib import Path

from tests.integration.charts.values import put
from tests.kube.client import Json, KubeClient, wait_until
from tests.kube.node.install.world import AGENT, Installation

_HERE = "volary-mistaken"
_PAGE = Path(__file__).parents[4] / "docs" / "install.md"
_KINDS = ("pods", "services", "secrets", "configmaps", "leases", "roles", "taskactions")
_ONE = "app.kubernetes.io/component=agent"


async def test_unknown_cluster_token_is_named_in_the_pods_status(
    installation: Installation, kube: KubeClient
) -> None:
    await installation.prepare_agent(kube, _HERE, token="a-token-of-no-cluster")  # noqa: S106
    before = _objects(installation)
    values = put(installation.agent_values(), replicas=1)
    await asyncio.to_thread(installation.run_helm, "install", AGENT, _HERE, values)

    async def is_said() -> bool:
        pods = await kube.list(f"/api/v1/namespaces/{_HERE}/pods", labelSelector=_ONE)
        return any("no cluster has this token" in _last_words(pod) for pod in pods)

    await wait_until(is_said, "the pod's status has its last words", within=60)

    for command in _to_uninstall():
        program, *arguments = shlex.split(command.replace("volary ", f"{_HERE} ", 1))
        run = {"helm": installation.helm.run, "kubectl": installation.node.kube.kubectl}[program]
        await asyncio.to_thread(run, *arguments)

    async def is_undone() -> bool:
        return _objects(installation) <= before

    await wait_until(is_undone, "nothing is left but what was there", within=60)
    await kube.delete(f"/api/v1/namespaces/{_HERE}")


def _last_words(pod: Json) -> str:
    states = [
        status.get(which, {}).get("terminated", {})
        for status in pod["status"].get("containerStatuses") or ()
        for which in ("state", "lastState")
    ]
    return " ".join(state.get("message", "") for state in states)


def _to_uninstall() -> list[str]:
    """Read the page's commands for one namespace; others would meet other tests."""
    section = _PAGE.read_text().partition("## Uninstalling")[2].partition("\n## ")[0]
    section = section.replace("\\\n", " ")  # a command that goes on in the next line
    lines = [line.strip() for line in section.splitlines() if line.startswith("    ")]
    commands = [line for line in lines if " --namespace volary " in line]
    assert len(commands) == 4, commands
    return commands


def _objects(installation: Installation) -> set[str]:
    asked = ("get", ",".join(_KINDS), "--namespace", _HERE, "--output", "name")
    return set(installation.node.kube.kubectl(*asked).split())
