"""Tests of the test's API server: it validates, watches, compacts, authorizes and collects."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from tests.kube.client import KubeClient, KubeError, wait_until
from tests.kube.controlplane import KubeForTests

_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "one"},
    "spec": {"containers": [{"name": "main", "image": "example.test/nothing:1"}]},
}


async def test_pod_waits_for_the_tests_kubelet(api: KubeClient, namespace: str) -> None:
    pod = await api.create(f"{namespace}/pods", _POD)
    assert pod["status"]["phase"] == "Pending"

    await api.patch(f"{namespace}/pods/one/status", {"status": {"phase": "Running"}})
    assert (await api.get(f"{namespace}/pods/one"))["status"]["phase"] == "Running"


async def test_watch_yields_each_change_once_in_order(api: KubeClient, namespace: str) -> None:
    since = (await api.get(f"{namespace}/secrets"))["metadata"]["resourceVersion"]
    await api.create(f"{namespace}/secrets", {"metadata": {"name": "one"}})
    await api.patch(f"{namespace}/secrets/one", {"metadata": {"labels": {"seen": "yes"}}})
    await api.delete(f"{namespace}/secrets/one")

    seen = []
    async with aclosing(api.watch(f"{namespace}/secrets", since=since)) as changes:
        async for change in changes:
            seen.append(change["type"])
            if change["type"] == "DELETED":
                break
    assert seen == ["ADDED", "MODIFIED", "DELETED"]


async def test_custom_resource_has_schema_and_status_subresource(
    api: KubeClient, namespace: str
) -> None:
    await api.create(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", _definition("notes")
    )
    try:
        await api.wait_for(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/notes.tests.volary.dev",
            _is_established,
        )
        notes = namespace.replace("/api/v1", "/apis/tests.volary.dev/v1") + "/notes"
        note = {"apiVersion": "tests.volary.dev/v1", "kind": "Note", "metadata": {"name": "a"}}

        with pytest.raises(KubeError, match="in body must be of type string") as refused:
            await api.create(notes, {**note, "spec": {"text": 5}})
        assert (refused.value.code, refused.value.reason) == (422, "Invalid")

        made = await api.create(notes, {**note, "spec": {"text": "b"}, "status": {"read": True}})
        assert "status" not in made
        last_reported = await api.patch(
            f"{notes}/a/status", {"status": {"read": True}, "spec": {"text": "c"}}
        )
        assert (last_reported["spec"], last_reported["status"]) == ({"text": "b"}, {"read": True})
    finally:
        await api.delete(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/notes.tests.volary.dev"
        )


async def test_compacted_resource_version_is_gone(
    api: KubeClient, namespace: str, kube_api: KubeForTests
) -> None:
    for name in ("one", "two"):
        await api.create(f"{namespace}/secrets", {"metadata": {"name": name}})
    first = await api.get(f"{namespace}/secrets", limit="1")
    await api.create(f"{namespace}/secrets", {"metadata": {"name": "three"}})
    kube_api.forget_the_past()

    with pytest.raises(KubeError, match="410 Expired"):
        await api.list(
            f"{namespace}/secrets", limit="1", **{"continue": first["metadata"]["continue"]}
        )
    changes = api.watch(f"{namespace}/secrets", since=first["metadata"]["resourceVersion"])
    with pytest.raises(KubeError, match="410 Expired"):
        await anext(changes)


async def test_paused_api_server_answers_after_resume(
    api: KubeClient, kube_api: KubeForTests
) -> None:
    async with asyncio.TaskGroup() as tasks:
        with kube_api.api_server.held_up():
            answer = tasks.create_task(api.get("/version"))
            answered, _ = await asyncio.wait([answer], timeout=0.2)
            assert not answered
    assert answer.result()["gitVersion"].startswith("v1.36.")


async def test_user_needs_a_role(api: KubeClient, namespace: str, kube_api: KubeForTests) -> None:
    name = namespace.rpartition("/")[2]
    account = f"system:serviceaccount:{name}:default"
    async with kube_api.client(account) as caller:
        with pytest.raises(KubeError, match="cannot list resource") as refused:
            await caller.list(f"{namespace}/pods")
        assert refused.value.code == 403

        rbac = namespace.replace("/api/v1", "/apis/rbac.authorization.k8s.io/v1")
        await api.create(
            f"{rbac}/roles",
            {
                "metadata": {"name": "reader"},
                "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}],
            },
        )
        await api.create(f"{rbac}/rolebindings", _binding(name))

        async def is_let_in() -> bool:
            try:
                return await caller.list(f"{namespace}/pods") == []
            except KubeError:
                return False  # the server's cache of roles is not up to date yet

        await wait_until(is_let_in, "the role takes effect")
        with pytest.raises(KubeError) as refused:
            await caller.create(f"{namespace}/pods", _POD)
        assert refused.value.code == 403


async def test_service_account_authenticates_with_token(
    api: KubeClient, namespace: str, kube_api: KubeForTests
) -> None:
    issued = await api.create(
        f"{namespace}/serviceaccounts/default/token",
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    )
    async with kube_api.client_with(issued["status"]["token"]) as caller:
        review = await caller.create(
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        )
    name = namespace.rpartition("/")[2]
    assert review["status"]["userInfo"]["username"] == f"system:serviceaccount:{name}:default"


async def test_owned_objects_are_garbage_collected(api: KubeClient, namespace: str) -> None:
    owner = await api.create(f"{namespace}/configmaps", {"metadata": {"name": "owner"}})
    owned_by = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "owner",
        "uid": owner["metadata"]["uid"],
    }
    metadata = {"name": "one", "ownerReferences": [owned_by]}
    await api.create(f"{namespace}/pods", {**_POD, "metadata": metadata})

    await api.delete(f"{namespace}/configmaps/owner")
    await api.wait_until_gone(f"{namespace}/pods/one")


def _definition(plural: str) -> dict[str, Any]:
    text = {"type": "object", "properties": {"text": {"type": "string"}}}
    read = {"type": "object", "properties": {"read": {"type": "boolean"}}}
    schema = {"type": "object", "properties": {"spec": text, "status": read}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.tests.volary.dev"},
        "spec": {
            "group": "tests.volary.dev",
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": "note", "kind": "Note"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                }
            ],
        },
    }


def _is_established(definition: dict[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions") or []  # null at first
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def _binding(namespace: str) -> dict[str, Any]:
    return {
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    }
