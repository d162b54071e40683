"""The installed agent may do all that its table says, and none of what would be too much."""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest

from dataplane.agent.doctor.permissions import PLUGINS, Feature, Named, Rule, Scope, rules_of
from tests.kube.api.install.conftest import NAME, Installed, installed
from tests.kube.client import KubeClient, KubeError, wait_until
from tests.kube.controlplane import KubeForTests
from tests.servers.helm import Helm

PULL_SECRET = "registry"  # noqa: S105 -- a name
NAMES: Mapping[Named | None, str] = {
    None: "anything",
    Named.PROXY_AUTHORITY: f"{NAME}-proxy",
    Named.PROXY_CERTIFICATE: "volary-proxy",
    Named.PROXY_SERVICE: f"{NAME}-proxy",
    Named.LEASE: NAME,
    Named.IDENTITY: f"{NAME}-proxy-identity",
    Named.SECRETS_KEY: f"{NAME}-proxy-secrets-key",
    Named.PULL_SECRETS: PULL_SECRET,
    Named.TASK_ACTION_DEFINITION: "taskactions.volary.dev",
    Named.TASK_SECRETS: "volary-secrets",
}
VERSIONS = {"kubernetes.dask.org": "v1", "ray.io": "v1", "sparkoperator.k8s.io": "v1beta2"}
VERSIONS |= {"jobset.x-k8s.io": "v1alpha2"}
EVERYTHING: Mapping[str, Any] = {
    "plugins": {plugin.value: True for plugin in PLUGINS},
    "tasks__pullSecrets": [PULL_SECRET],
    "connectors__addresses": ["connectors.team:8000"],
}


async def is_allowed(who: KubeClient, verb: str, path: str) -> bool:
    """Ask for real, but change nothing: whatever else is wrong with it, is it forbidden?"""
    dry = {"dryRun": "All"}
    body: dict[str, Any] = {"metadata": {"name": path.rpartition("/")[2]}}
    try:
        match verb:
            case "get":
                await who.get(path)
            case "list":
                await who.get(path, limit="1")
            case "watch":
                await who.get(path, watch="true", timeoutSeconds="0", resourceVersion="no number")
            case "create":
                await who.create(f"{path}?dryRun=All", body)
            case "update":
                await who.replace(f"{path}?dryRun=All", body)
            case "patch":
                await who.patch(f"{path}?dryRun=All", {})
            case "delete":
                await who.delete(path, **dry)
            case _:
                raise AssertionError(f"how is {verb} asked?")
    except KubeError as error:
        return error.code != 403
    return True


def path_of(rule: Rule, verb: str, namespace: str) -> str:
    base = f"/apis/{rule.group}/{VERSIONS.get(rule.group, 'v1')}" if rule.group else "/api/v1"
    plural, _, part = rule.resource.partition("/")
    place = "" if rule.scope is Scope.CLUSTER else f"/namespaces/{namespace}"
    path = f"{base}{place}/{plural}"
    if verb not in {"create", "list", "watch"}:
        path += f"/{NAMES[rule.named]}"
    return f"{path}/{part}" if part else path


def calls(home: str, tasks: str) -> Iterator[tuple[str, str]]:
    for rule in rules_of(list(Feature)):
        namespace = home if rule.scope is Scope.HOME else tasks
        for verb in rule.verbs:
            yield verb, path_of(rule, verb, namespace)


@pytest.fixture
async def everything(
    helm: Helm, kube_api: KubeForTests, api: KubeClient
) -> AsyncIterator[Installed]:
    async with installed(helm, kube_api, api, **EVERYTHING) as release:
        yield release


async def _wait_for_roles(who: KubeClient, namespace: str) -> None:
    """A role that was just bound is heard of a moment later."""
    await wait_until(
        lambda: is_allowed(who, "list", f"/api/v1/namespaces/{namespace}/pods"),
        "roles are heard of",
    )
    await wait_until(
        lambda: is_allowed(who, "get", f"/api/v1/namespaces/{namespace}"), "roles are heard of"
    )


async def test_calls_of_the_permission_table_are_allowed(
    everything: Installed, api: KubeClient
) -> None:
    async with api.namespace() as tasks, everything.client() as agent:
        await _wait_for_roles(agent, tasks)
        refused = [
            f"{verb} {path}"
            for verb, path in calls(everything.namespace, tasks)
            if not await is_allowed(agent, verb, path)
        ]
    assert not refused


async def test_calls_beyond_the_permission_table_are_refused(
    everything: Installed, api: KubeClient
) -> None:
    home = everything.namespace
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    async with api.namespace() as tasks, everything.client() as agent:
        await _wait_for_roles(agent, tasks)
        here, there = f"/api/v1/namespaces/{home}", f"/api/v1/namespaces/{tasks}"
        allowed = [
            f"{verb} {path}"
            for verb, path in (
                # Secrets: it reads only those that it is told of, and changes none. It creates and
                # deletes those of attempts, which only the admission policy tells from others.
                ("list", f"{here}/secrets"),
                ("watch", f"{there}/secrets"),
                ("list", "/api/v1/secrets"),
                ("get", f"{there}/secrets/database"),
                ("get", f"{here}/secrets/volary-token"),
                ("patch", f"{there}/secrets/database"),
                ("get", f"{there}/secrets/r1-a0-1-0123456789ab-secrets"),
                # Whatever would give it more than it has.
                ("create", f"{rbac}/clusterroles"),
                ("create", f"{rbac}/namespaces/{home}/rolebindings"),
                ("patch", f"{rbac}/clusterroles/{home}-{NAME}"),
                ("create", f"{there}/serviceaccounts"),
                ("create", f"{there}/serviceaccounts/default/token"),
                ("create", f"{there}/pods/one/exec"),
                ("create", f"{there}/pods/one/eviction"),
                ("patch", f"{there}/pods/one/ephemeralcontainers"),
                ("create", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"),
                (
                    "patch",
                    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/taskactions.volary.dev",
                ),
                # What is others'.
                ("delete", f"/api/v1/namespaces/{tasks}"),
                ("patch", f"/api/v1/namespaces/{tasks}"),
                ("list", "/api/v1/namespaces"),
                ("list", "/api/v1/nodes"),
                ("get", f"{there}/configmaps/anything"),
                ("delete", f"{there}/configmaps/volary-proxy"),
                ("get", f"{there}/services/anything"),
                ("update", f"/apis/coordination.k8s.io/v1/namespaces/{home}/leases/another"),
                ("update", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x"),
                ("create", f"/apis/apps/v1/namespaces/{tasks}/deployments"),
                ("create", f"/apis/batch/v1/namespaces/{tasks}/jobs"),
            )
            if await is_allowed(agent, verb, path)
        ]
    assert not allowed


async def test_roles_of_a_single_task_namespace_open_no_other(
    helm: Helm, kube_api: KubeForTests, api: KubeClient
) -> None:
    async with (
        api.namespace() as tasks,
        api.namespace() as others,
        installed(helm, kube_api, api, namespaces__template=tasks) as release,
        release.client() as agent,
    ):
        await _wait_for_roles(agent, tasks)
        for verb, path in (
            ("create", f"/api/v1/namespaces/{others}/pods"),
            ("list", f"/api/v1/namespaces/{others}/pods"),
            ("list", "/api/v1/pods"),
            ("create", "/api/v1/namespaces"),
            ("get", f"/api/v1/namespaces/{others}/pods/one/log"),
            ("create", f"/apis/volary.dev/v1/namespaces/{others}/taskactions"),
            ("create", f"/apis/sparkoperator.k8s.io/v1beta2/namespaces/{tasks}/sparkapplications"),
        ):
            assert not await is_allowed(agent, verb, path), f"{verb} {path}"


async def test_account_without_roles_may_do_nothing(
    helm: Helm, kube_api: KubeForTests, api: KubeClient
) -> None:
    async with (
        api.namespace() as tasks,
        installed(helm, kube_api, api, rbac__create=False) as release,
        release.client() as agent,
    ):
        allowed = [
            f"{verb} {path}"
            for verb, path in calls(release.namespace, tasks)
            if await is_allowed(agent, verb, path)
        ]
    assert not allowed


async def test_agent_changes_only_its_own_objects(everything: Installed, api: KubeClient) -> None:
    async with api.namespace() as tasks, everything.client() as agent:
        await _wait_for_roles(agent, tasks)
        pods = f"/api/v1/namespaces/{tasks}/pods"

        async def is_guarded() -> bool:
            try:
                await agent.create(f"{pods}?dryRun=All", _pod("mine", labelled=False))
            except KubeError as error:
                assert "volary.dev/managed" in str(error)  # noqa: PT017
                return True
            return False

        await wait_until(is_guarded, "the guard stands")
        await agent.create(pods, _pod("mine", labelled=True))
        await api.create(pods, _pod("theirs", labelled=False))
        with pytest.raises(KubeError, match="only objects labelled"):
            await agent.delete(f"{pods}/theirs")
        await agent.delete(f"{pods}/mine", gracePeriodSeconds="0")
        await api.wait_until_gone(f"{pods}/mine")

        await agent.create(
            f"/api/v1/namespaces/{everything.namespace}/configmaps", {"metadata": {"name": "own"}}
        )
        with pytest.raises(KubeError, match="may not write to this namespace"):
            await agent.create("/api/v1/namespaces/kube-system/pods", _pod("mine", labelled=True))
        await api.create(f"{pods}?dryRun=All", _pod("others", labelled=False))


async def test_service_account_of_tasks_cannot_write_what_identifies_pods(
    helm: Helm, kube_api: KubeForTests, api: KubeClient
) -> None:
    async with (
        installed(helm, kube_api, api, guard__podCreators=["driver"]),
        api.namespace() as tasks,
    ):
        await api.patch(
            f"/api/v1/namespaces/{tasks}", {"metadata": {"labels": {"volary.dev/managed": "true"}}}
        )
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{tasks}"
        verbs = ["create", "get", "patch"]
        rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]
        await api.create(f"{rbac}/roles", {"metadata": {"name": "careless"}, "rules": rules})
        await api.create(
            f"{rbac}/rolebindings",
            {
                "metadata": {"name": "careless"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "Role",
                    "name": "careless",
                },
                "subjects": [
                    {"kind": "ServiceAccount", "name": name, "namespace": tasks}
                    for name in ("default", "driver")
                ],
            },
        )
        pods = f"/api/v1/namespaces/{tasks}/pods"

        def account(name: str) -> KubeClient:
            return kube_api.client(f"system:serviceaccount:{tasks}:{name}")

        async with account("default") as task, account("driver") as driver:

            async def is_guarded() -> bool:
                try:
                    await task.create(f"{pods}?dryRun=All", _pod("forged", labelled=True))
                except KubeError as error:
                    return "may not write labels volary.dev/" in str(error)
                return False

            async def is_trusted() -> bool:
                try:
                    await driver.create(f"{pods}?dryRun=All", _pod("executor", labelled=True))
                except KubeError:
                    return False
                return True

            # The API server enforces the policy of an uninstalled release for a moment longer.
            await wait_until(is_trusted, "earlier policies are gone")
            await wait_until(is_guarded, "the policy stands")
            assert await is_trusted()
            await task.create(pods, _pod("own", labelled=False))
            await api.create(pods, _pod("attempt", labelled=True))
            annotated = _pod("forged", labelled=False)
            annotated["metadata"]["annotations"] = {"volary.dev/lease": "x"}
            with pytest.raises(KubeError, match="may not write annotations volary"):
                await task.create(pods, annotated)
            forged = {"metadata": {"annotations": {"volary.dev/run": "victim"}}}
            for name in ("own", "attempt"):
                with pytest.raises(KubeError, match="may not write annotations volary"):
                    await task.patch(f"{pods}/{name}", forged)
            with pytest.raises(KubeError, match="may not write labels volary"):
                await task.patch(
                    f"{pods}/attempt", {"metadata": {"labels": {"volary.dev/managed": None}}}
                )
            await task.patch(f"{pods}/attempt", {"metadata": {"labels": {"theirs": "x"}}})


def _pod(name: str, *, labelled: bool) -> dict[str, Any]:
    labels = {"volary.dev/managed": "true"} if labelled else {"app": "theirs"}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "example.test/nothing:1"}]},
    }
