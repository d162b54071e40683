"""Pods that we refuse as beyond "baseline" are those that the API server refuses."""

from collections.abc import Mapping
from typing import Any

import pytest

from dataplane.agent.kube.namespaces import (
    POD_SECURITY,
    POD_SECURITY_PIN,
    POD_SECURITY_VERSION,
)
from dataplane.agent.runtimes.kubernetes.pods import Security
from dataplane.agent.runtimes.tasks import BadSpecError
from tests.kube.api.pods.test_accepted import CLUSTER_WITH_ALL, JOBS, STRICTLY, build_in
from tests.kube.client import KubeClient, KubeError
from tests.unit.agent.kubernetes.pods.test_security import OF_CONTAINER, OF_POD

_MAIN = {"name": "primary", "image": "i"}
# The second is of this server's own: it lets nobody make privileged containers.
_REFUSALS = ("violates PodSecurity", "disallowed by cluster policy", "procMount")
_WINDOWS = "a Windows host process"  # of which the API server asks for much more


def specs() -> Mapping[str, dict[str, Any]]:
    """Return pod specs by what is in them that baseline does not allow."""
    found: dict[str, dict[str, Any]] = {}
    for what, (asked, _, _) in OF_CONTAINER.items():
        if what == _WINDOWS:
            continue
        found[what] = {"containers": [{**_MAIN, **asked}]}
        if not {"readinessProbe", "lifecycle"} & asked.keys():
            first = {**_MAIN, "name": "first", **asked}
            found[f"{what}, of an init container"] = {
                "containers": [_MAIN],
                "initContainers": [first],
            }
    of_pods = {what: {"containers": [_MAIN], **asked} for what, (asked, _, _) in OF_POD.items()}
    return {**found, **of_pods}


async def enforce(api: KubeClient, namespace: str, version: str) -> None:
    labels = {POD_SECURITY: "baseline", POD_SECURITY_VERSION: version}
    await api.patch(namespace, {"metadata": {"labels": labels}})


async def refusal(api: KubeClient, namespace: str, spec: dict[str, Any]) -> str:
    try:
        pod = {"metadata": {"name": "p"}, "spec": spec}
        await api.create(f"{namespace}/pods?dryRun=All", pod)
    except KubeError as error:
        return str(error)
    return "it is taken"


async def test_api_server_refuses_what_the_agent_refuses(api: KubeClient, namespace: str) -> None:
    await enforce(api, namespace, "latest")
    for what, spec in specs().items():
        with pytest.raises(BadSpecError):
            Security().require_allowed(spec, {})
        words = await refusal(api, namespace, spec)
        assert any(each in words for each in _REFUSALS), (what, words)


async def test_pods_are_accepted_where_baseline_is_enforced(
    api: KubeClient, namespace: str
) -> None:
    """The fence of those that may be replaced, and the copilot, among them."""
    await enforce(api, namespace, POD_SECURITY_PIN)
    for what, make_job in JOBS.items():
        if what != "fuse":
            pod = build_in(namespace, make_job(), CLUSTER_WITH_ALL)
            await api.create(f"{namespace}/pods?{STRICTLY}", pod)
