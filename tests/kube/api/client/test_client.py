"""Tests of the agent's client on a real API server: every verb, every error, timeouts."""

import asyncio
import json
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from dataplane.agent.kube import access, client_limits
from dataplane.agent.kube.client import Change, ChangeKind, Kube
from dataplane.agent.kube.errors import (
    ConflictError,
    ExistsError,
    ExpiredError,
    ForbiddenError,
    InvalidError,
    NoAccessError,
    NotFoundError,
    UnauthorizedError,
    UnreachableError,
)
from dataplane.agent.kube.objects import CONFIG_MAP, POD, SECRET, Kind, Name, Object, name_of
from tests.kube.client import KubeClient, wait_until
from tests.kube.controlplane import KubeForTests

AT_ONCE = timedelta(0)


def make_map(place: str, name: str, **data: str) -> Object:
    return {"metadata": {"namespace": place, "name": name, "labels": {"of": "me"}}, "data": data}


def make_pod(place: str, name: str = "one") -> dict[str, Any]:
    container = {"name": "main", "image": "example.test/nothing:1"}
    return {"metadata": {"namespace": place, "name": name}, "spec": {"containers": [container]}}


async def test_object_is_created_read_patched_and_deleted(kube: Kube, place: str) -> None:
    name = Name(place, "one")
    made = await kube.create(CONFIG_MAP, make_map(place, "one", a="1", b="2"))
    assert name_of(made) == name

    merged = await kube.patch(CONFIG_MAP, name, {"data": {"a": None, "c": "3"}})
    assert merged["data"] == {"b": "2", "c": "3"}

    await kube.replace(CONFIG_MAP, {**merged, "data": {"d": "4"}})
    assert (await kube.get(CONFIG_MAP, name))["data"] == {"d": "4"}

    assert await kube.delete(CONFIG_MAP, name)
    assert not await kube.delete(CONFIG_MAP, name)


async def test_status_subresource_is_written_separately(kube: Kube, place: str) -> None:
    await kube.create(POD, make_pod(place))
    patch = {"status": {"phase": "Running"}, "spec": {"activeDeadlineSeconds": 5}}

    last_reported = await kube.patch(POD, Name(place, "one"), patch, status=True)

    assert last_reported["status"]["phase"] == "Running"
    assert "activeDeadlineSeconds" not in last_reported["spec"]
    assert kube.requests["patch", "pods/status", 200] == 1


async def test_list_of_many_pages_is_complete(
    kube: Kube, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await kube.create(CONFIG_MAP, make_map(place, f"m{number}"))
    monkeypatch.setattr(client_limits, "PAGE_ITEMS", 2)

    listing = await kube.list(CONFIG_MAP, namespace=place, labels="of=me")

    assert [item["metadata"]["name"] for item in listing.items] == ["m0", "m1", "m2", "m3", "m4"]
    assert {item["kind"] for item in listing.items} == {"ConfigMap"}
    assert kube.requests["list", "configmaps", 200] == 3


async def test_list_that_expires_between_pages_is_complete(
    kube: Kube,
    place: str,
    api: KubeClient,
    kube_api: KubeForTests,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(3):
        await kube.create(CONFIG_MAP, make_map(place, f"m{number}"))
    monkeypatch.setattr(client_limits, "PAGE_ITEMS", 1)
    ask, pages = kube._transport.request_json, 0

    async def forget_after_the_first_page(*args: Any, **rest: Any) -> dict[str, Any]:
        nonlocal pages
        pages += 1
        if pages == 2:
            await api.create(f"/api/v1/namespaces/{place}/secrets", {"metadata": {"name": "s"}})
            await asyncio.to_thread(kube_api.forget_the_past)
        return await ask(*args, **rest)

    monkeypatch.setattr(kube._transport, "request_json", forget_after_the_first_page)

    listing = await kube.list(CONFIG_MAP, namespace=place, labels="of=me")

    assert len(listing.items) == 3
    assert kube.requests["list", "configmaps", 410] == 1


async def test_kube_errors_are_classified(kube: Kube, place: str, kube_api: KubeForTests) -> None:
    one = make_map(place, "one")
    made = await kube.create(CONFIG_MAP, one)
    with pytest.raises(ExistsError):
        await kube.create(CONFIG_MAP, one)
    with pytest.raises(NotFoundError):
        await kube.get(CONFIG_MAP, Name(place, "two"))
    with pytest.raises(NotFoundError):
        await kube.list(Kind("example.test", "v1", "things", "Thing"))
    await kube.patch(CONFIG_MAP, Name(place, "one"), {"data": {"a": "1"}})
    with pytest.raises(ConflictError):
        await kube.replace(CONFIG_MAP, made)
    with pytest.raises(InvalidError, match=r"spec\.containers"):
        await kube.create(POD, {"metadata": {"namespace": place, "name": "p"}, "spec": {}})

    async with Kube.open(kube_api.kubeconfig("nobody", groups=["none"])) as stranger:
        with pytest.raises(ForbiddenError, match="nobody"):
            await stranger.list(SECRET, namespace=place)
        assert not await stranger.may("list", SECRET, place)
    assert await kube.may("list", SECRET, place)
    assert await kube.may("create", POD, part="exec")


async def test_delete_with_uid_spares_another_object(kube: Kube, place: str) -> None:
    name = Name(place, "one")
    first = await kube.create(CONFIG_MAP, make_map(place, "one"))
    await kube.delete(CONFIG_MAP, name)
    second = await kube.create(CONFIG_MAP, make_map(place, "one"))

    assert not await kube.delete(CONFIG_MAP, name, uid=first["metadata"]["uid"])
    assert await kube.delete(CONFIG_MAP, name, uid=second["metadata"]["uid"])


async def test_watch_yields_each_change_until_its_timeout(kube: Kube, place: str) -> None:
    since = (await kube.list(CONFIG_MAP, namespace=place)).resource_version
    await kube.create(CONFIG_MAP, make_map(place, "one", large="x" * 900_000))
    await kube.delete(CONFIG_MAP, Name(place, "one"))

    seen = await _watch(kube, place, since)

    changes = [change for change in seen if change.kind is not ChangeKind.BOOKMARK]
    assert [change.kind for change in changes] == [ChangeKind.ADDED, ChangeKind.DELETED]
    last = seen[-1].resource_version
    assert [change.kind for change in await _watch(kube, place, last)] in (
        [],
        [ChangeKind.BOOKMARK],
    )


async def test_watch_from_expired_version_raises_expired(
    kube: Kube, place: str, kube_api: KubeForTests
) -> None:
    since = (await kube.list(CONFIG_MAP, namespace=place)).resource_version
    await kube.create(CONFIG_MAP, make_map(place, "one"))
    await asyncio.to_thread(kube_api.forget_the_past)

    with pytest.raises(ExpiredError):
        await _watch(kube, place, since)


async def test_watch_on_dead_connection_ends(
    kube: Kube, place: str, kube_api: KubeForTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_limits, "WATCH_MARGIN", timedelta(seconds=1))
    since = (await kube.list(CONFIG_MAP, namespace=place)).resource_version
    changes = kube.watch(CONFIG_MAP, namespace=place, since=since, lasting=timedelta(seconds=1))
    await kube.create(CONFIG_MAP, make_map(place, "one"))
    async with aclosing(changes):
        assert (await anext(changes)).kind is ChangeKind.ADDED
        with kube_api.api_server.held_up(), pytest.raises(UnreachableError):
            async for _ in changes:
                pass


async def test_call_to_unresponsive_server_times_out(
    kube: Kube, place: str, kube_api: KubeForTests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_limits, "CALL_TIMEOUT", timedelta(milliseconds=300))
    with kube_api.api_server.held_up(), pytest.raises(UnreachableError):
        await kube.with_retry_timeout(AT_ONCE).create(CONFIG_MAP, make_map(place, "one"))


async def test_call_is_retried_until_server_is_back(
    kube: Kube, place: str, kube_api: KubeForTests
) -> None:
    await kube.create(CONFIG_MAP, make_map(place, "one"))
    kube_api.api_server.kill()
    async with asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(kube.get(CONFIG_MAP, Name(place, "one")))
        kube_api.api_server.start()
        await asyncio.to_thread(kube_api.wait_until_ready)
    assert name_of(asked.result()) == Name(place, "one")
    assert kube.requests["get", "configmaps", 0] > 0


async def test_token_review_returns_pod_and_audience(
    kube: Kube, place: str, api: KubeClient
) -> None:
    pod = await kube.create(POD, make_pod(place))
    made = await api.create(
        f"/api/v1/namespaces/{place}/serviceaccounts/default/token",
        {
            "spec": {
                "audiences": ["the-proxy"],
                "boundObjectRef": {
                    "kind": "Pod", "apiVersion": "v1", "name": "one", "uid": pod["metadata"]["uid"]
                },
            }
        },
    )  # fmt: skip
    token = made["status"]["token"]

    reviewed = await kube.review_token(token, "the-proxy")
    assert reviewed.authenticated
    assert reviewed.user == f"system:serviceaccount:{place}:default"
    assert (reviewed.pod, reviewed.pod_uid) == ("one", pod["metadata"]["uid"])

    assert not (await kube.review_token(token, "another")).authenticated
    assert not (await kube.review_token("nonsense", "the-proxy")).authenticated

    await kube.delete(POD, Name(place, "one"), grace=0)

    async def is_dead() -> bool:
        return not (await kube.review_token(token, "the-proxy")).authenticated

    await wait_until(is_dead, "the token died with its pod")  # the server remembers for 10 s


async def test_rejected_credentials_raise_unauthorized(
    kube_api: KubeForTests, tmp_path: Path
) -> None:
    text = kube_api.kubeconfig().read_text()
    stranger = text.replace('"client-certificate"', '"was"').replace('"client-key"', '"token"')
    (tmp_path / "config").write_text(stranger)
    async with Kube.open(tmp_path / "config") as kube:
        with pytest.raises(UnauthorizedError):
            await kube.list(POD)


async def test_exec_plugin_token_is_refreshed(
    kube_api: KubeForTests,
    api: KubeClient,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_limits, "TOKEN_READ_EVERY", AT_ONCE)
    made = await api.create(f"/api/v1/namespaces/{place}/serviceaccounts/default/token", {})
    given = tmp_path / "given"
    version = "client.authentication.k8s.io/v1"
    text = kube_api.kubeconfig().read_text()
    config = json.loads(text)
    config["users"][0]["user"] = {
        "exec": {"apiVersion": version, "command": "/bin/cat", "args": [str(given)]}
    }
    (tmp_path / "config").write_text(json.dumps(config))

    def give(token: str) -> None:
        credential = {"apiVersion": version, "kind": "ExecCredential", "status": {"token": token}}
        given.write_text(json.dumps(credential))

    give("nonsense")
    async with Kube.open(tmp_path / "config") as by_program:
        with pytest.raises(UnauthorizedError):
            await by_program.may("get", POD)
        give(made["status"]["token"])
        assert not await by_program.may("get", POD)


async def test_service_account_token_is_reread_from_file(
    kube_api: KubeForTests,
    api: KubeClient,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = urlsplit(kube_api.address)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(address.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(address.port))
    monkeypatch.setattr(access, "_ACCOUNT", tmp_path)
    monkeypatch.setattr(client_limits, "TOKEN_READ_EVERY", AT_ONCE)
    made = await api.create(f"/api/v1/namespaces/{place}/serviceaccounts/default/token", {})
    (tmp_path / "ca.crt").write_bytes(kube_api.authority.certificate.read_bytes())
    token = tmp_path / "token"
    token.write_text("nonsense")
    async with Kube.open() as of_pod:
        with pytest.raises(UnauthorizedError):
            await of_pod.may("get", POD)
        token.write_text("")
        with pytest.raises(UnreachableError, match="empty"):
            await of_pod.with_retry_timeout(AT_ONCE).may("get", POD)
        token.write_text(made["status"]["token"])
        assert not await of_pod.may("get", POD)


async def test_missing_cluster_access_names_remedy(tmp_path: Path) -> None:
    with pytest.raises(NoAccessError, match="kubeconfig"):
        async with Kube.open():
            pass
    with pytest.raises(NoAccessError, match="kubeconfig"):
        async with Kube.open(tmp_path / "missing"):
            pass


async def _watch(kube: Kube, place: str, since: str) -> list[Change]:
    changes = kube.watch(CONFIG_MAP, namespace=place, since=since, lasting=timedelta(seconds=1))
    async with aclosing(changes):
        return [change async for change in changes if change.object["kind"] == "ConfigMap"]


async def test_abandoned_watch_leaves_no_connection(kube_api: KubeForTests, place: str) -> None:
    process, before = psutil.Process(), len(psutil.Process().net_connections("tcp"))
    async with Kube.open(kube_api.kubeconfig()) as kube:
        await kube.create(CONFIG_MAP, make_map(place, "one"))
        async with aclosing(kube.watch(CONFIG_MAP, namespace=place, since="0")) as changes:
            await anext(changes)
            assert len(process.net_connections("tcp")) > before

    assert len(process.net_connections("tcp")) == before
