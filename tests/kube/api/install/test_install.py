"""Helm installs, upgrades and uninstalls both charts, and the API server takes all of it."""

import asyncio
from typing import Any

import pytest

from tests.integration.charts.test_agent_chart import VALUE_SETS
from tests.integration.charts.values import CONTROL_PLANE, put
from tests.kube.api.install.conftest import NAME, Installed, installed
from tests.kube.client import KubeClient, KubeError, wait_until
from tests.kube.controlplane import KubeForTests
from tests.servers.helm import CHARTS, Helm

DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/taskactions.volary.dev"


async def _try_pod(api: KubeClient, namespace: str, template: dict[str, Any]) -> dict[str, Any]:
    """Have the pod of a template admitted, but not made."""
    return await api.create(
        f"/api/v1/namespaces/{namespace}/pods?dryRun=All",
        {"metadata": {"name": "one", "labels": template["metadata"]["labels"]},
         "spec": {"restartPolicy": "Always", **template["spec"]}},
    )  # fmt: skip


async def test_agent_pods_are_admitted_under_restricted(api: KubeClient, agent: Installed) -> None:
    path = f"/apis/apps/v1/namespaces/{agent.namespace}/deployments/{NAME}"
    template = (await api.get(path))["spec"]["template"]
    pod = await _try_pod(api, agent.namespace, template)
    assert pod["spec"]["serviceAccountName"] == NAME
    del template["spec"]["containers"][0]["securityContext"]
    with pytest.raises(KubeError, match="violates PodSecurity"):
        await _try_pod(api, agent.namespace, template)


async def test_chart_installs_the_task_action_definition(api: KubeClient, agent: Installed) -> None:
    async def are_served() -> bool:
        try:
            return await api.list(f"{path}/taskactions") == []
        except KubeError:
            return False  # it has yet to make room for them

    path = f"/apis/volary.dev/v1/namespaces/{agent.namespace}"
    await wait_until(are_served, "TaskActions are served")


async def test_chart_upgrade_changes_what_its_values_change(
    api: KubeClient, agent: Installed
) -> None:
    deployment = f"/apis/apps/v1/namespaces/{agent.namespace}/deployments/{NAME}"
    before = await api.get(deployment)
    agent.upgrade(tasks__slots=7, plugins__spark=True, replicas=3)
    after = await api.get(deployment)
    assert after["spec"]["replicas"] == 3
    checksum = [
        each["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
        for each in (before, after)
    ]
    assert checksum[0] != checksum[1]
    role = await api.get(
        f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{agent.namespace}.{NAME}-tasks"
    )
    assert "sparkapplications" in {name for rule in role["rules"] for name in rule["resources"]}


async def test_uninstalling_leaves_the_definition_and_what_was_recorded(
    api: KubeClient, agent: Installed
) -> None:
    agent.helm.run("uninstall", "volary", f"--namespace={agent.namespace}")
    namespaced = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{agent.namespace}"
    for path in (
        f"/apis/apps/v1/namespaces/{agent.namespace}/deployments/{NAME}",
        f"/api/v1/namespaces/{agent.namespace}/configmaps/{NAME}",
        f"{namespaced}/roles/{NAME}",
        f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{agent.namespace}.{NAME}-tasks",
    ):
        await api.wait_until_gone(path)
    assert await api.exists(DEFINITION)


TAKEN = ["every plugin", "no roles, no account", "all that tasks may have", "placed"]


@pytest.mark.parametrize("name", TAKEN)
async def test_chart_value_sets_are_accepted(
    helm: Helm, kube_api: KubeForTests, api: KubeClient, name: str
) -> None:
    async with installed(helm, kube_api, api, **VALUE_SETS[name]) as release:
        assert await _has_deployment(api, release.namespace)


async def test_tasks_may_share_one_existing_namespace(
    helm: Helm, kube_api: KubeForTests, api: KubeClient
) -> None:
    async with (
        api.namespace() as tasks,
        installed(helm, kube_api, api, namespaces__template=tasks) as release,
    ):
        assert await _has_deployment(api, release.namespace)
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{tasks}"
        assert await api.exists(f"{rbac}/roles/{NAME}-tasks")


async def _has_deployment(api: KubeClient, namespace: str) -> bool:
    return await api.exists(f"/apis/apps/v1/namespaces/{namespace}/deployments/{NAME}")


async def test_control_plane_starts_after_its_migration(
    helm: Helm, kube_api: KubeForTests, api: KubeClient
) -> None:
    cluster = helm.with_cluster(kube_api.kubeconfig())
    async with api.namespace() as namespace:
        restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
        await api.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": restricted}})
        values = put(
            CONTROL_PLANE,
            autoscaling__enabled=True,
            ingress={"enabled": True, "host": "volary.example.com"},
        )
        where = f"--namespace={namespace}"
        chart = CHARTS / "volary-controlplane"
        async with asyncio.TaskGroup() as tasks:
            installing = tasks.create_task(
                asyncio.to_thread(
                    lambda: cluster.run("install", "volary", chart, where, values=values)
                )
            )
            job = f"/apis/batch/v1/namespaces/{namespace}/jobs/volary-controlplane-migrate"
            await wait_until(lambda: api.exists(job), "the migration is there")
            template = (await api.get(job))["spec"]["template"]
            await _try_pod(
                api, namespace, {**template, "spec": {**template["spec"], "restartPolicy": "Never"}}
            )
            deployment = f"/apis/apps/v1/namespaces/{namespace}/deployments/volary-controlplane"
            assert not await api.exists(deployment)
            assert not installing.done()
            await _finish(api, job)
        template = (await api.get(deployment))["spec"]["template"]
        await _try_pod(api, namespace, template)
        cluster.run("uninstall", "volary", where)
        await api.wait_until_gone(deployment)


async def _finish(api: KubeClient, job: str) -> None:
    """Play the Job's controller: it has succeeded."""
    at = "2026-01-01T00:00:00Z"
    last_reported = {"status": "True", "lastProbeTime": at, "lastTransitionTime": at}
    conditions = [{"type": kind, **last_reported} for kind in ("SuccessCriteriaMet", "Complete")]
    status = {"startTime": at, "completionTime": at, "succeeded": 1, "conditions": conditions}
    await api.patch(f"{job}/status", {"status": status})
