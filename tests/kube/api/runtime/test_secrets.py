"""An attempt's secrets are Secrets of its own on the API server, and go when it ends."""

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from flyteidl2.core.security_pb2 import Secret

from dataplane.agent.core.secrets import FetchedSecrets
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.secrets import TaskSecrets
from shared.kit.secrets import SecretBytes
from shared.model.assignments import Assignment
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from shared.model.secrets import SealedSecret, SecretName
from shared.secrets.envelopes import KeyringEnvelopes
from shared.secrets.key_pairs import make_private_key
from tests.kube.api.runtime.conftest import Begin
from tests.kube.api.runtime.kubelet import Kubelet
from tests.kube.attempts import Agent
from tests.kube.client import KubeClient, KubeError

CANARY = b"canary-4f1d-value"
PAIR = make_private_key()


class Kept:
    """A control plane that keeps these values, and these image pull secrets, in the org."""

    def __init__(self, values: Mapping[str, bytes], image_pull: Sequence[bytes] = ()) -> None:
        self.values = values
        self.image_pull = image_pull

    async def fetch(
        self, assignment: Assignment, names: Sequence[str], *, image_pull: bool = False
    ) -> FetchedSecrets:
        async def seal(asked: str, value: bytes) -> SealedSecret:
            name = SecretName(org=assignment.org, name=asked)
            sealer = KeyringEnvelopes([PAIR.public])
            envelope = await sealer.seal(name, SecretBytes(value), version=1)
            return SealedSecret(asked=asked, name=name, envelope=envelope)

        return FetchedSecrets(
            by_name={
                each: await seal(each, self.values[each]) for each in names if each in self.values
            },
            image_pull=[
                await seal(f"pull-{number}", each) for number, each in enumerate(self.image_pull)
            ]
            if image_pull
            else [],
        )


def keep(agent: Agent, values: Mapping[str, bytes], image_pull: Sequence[bytes] = ()) -> None:
    """Give the agent a control plane with these secrets."""
    secrets = TaskSecrets(Kept(values, image_pull), [PAIR])
    agent.runtime._cluster = replace(agent.cluster, secrets=secrets)


def ask(job: Job, *secrets: Secret) -> Job:
    job.task.template.security_context.secrets.extend(secrets)
    return job


async def secrets_in(api: KubeClient, namespace: str) -> dict[str, Any]:
    found = await api.get(f"{namespace}/secrets")
    return {each["metadata"]["name"]: each for each in found["items"]}


async def test_values_are_in_a_secret_of_the_attempt_and_referred_to_by_its_pod(
    begin: Begin, api: KubeClient, namespace: str, kubelet: Kubelet
) -> None:
    async with begin() as agent:
        keep(agent, {"My-Key": CANARY, "raw": b"\xff\x00"})
        job = ask(
            await agent.jobs.make("true"),
            Secret(key="My-Key", env_var="T", mount_requirement=Secret.ENV_VAR),
            Secret(key="My-Key", mount_requirement=Secret.FILE),
            Secret(key="raw", mount_requirement=Secret.FILE),
        )
        path = agent.jobs.path(job)
        name = path.rpartition("/")[2]
        attempt = await agent.start(job)
        await kubelet.run(path)
        pod = await api.get(path)
        secret = (await secrets_in(api, namespace))[f"{name}-secrets"]
        action = await api.get(
            f"{namespace.replace('/api/', '/apis/volary.dev/')}/taskactions/{name}"
        )
        await kubelet.end(path, 0)
        end = await attempt.end()
        after = await secrets_in(api, namespace)

    assert end.phase is Phase.SUCCEEDED
    assert {b64decode(each) for each in secret["data"].values()} == {CANARY, b"\xff\x00"}
    assert [each["kind"] for each in secret["metadata"]["ownerReferences"]] == ["TaskAction"]
    assert secret["metadata"]["labels"]["volary.dev/managed"] == "true"
    [variable] = [each for each in pod["spec"]["containers"][0]["env"] if each["name"] == "T"]
    assert variable["valueFrom"]["secretKeyRef"]["name"] == f"{name}-secrets"
    assert CANARY.decode() not in json.dumps([pod, action, [repr(each) for each in end.events]])
    assert f"{name}-secrets" not in after


async def test_missing_secret_fails_before_a_pod_is_made(
    begin: Begin, api: KubeClient, namespace: str
) -> None:
    async with begin() as agent:
        keep(agent, {})
        job = ask(await agent.jobs.make("true"), Secret(key="nowhere", env_var="T"))
        end = await agent.run(job)
        path = agent.jobs.path(job)

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("SecretMissing", FailureKind.USER)
    assert not end.failure.recoverable
    assert "flyte create secret nowhere" in end.failure.message
    assert "volary-secrets" in end.failure.message
    with pytest.raises(KubeError):
        await api.get(path)
    assert not await secrets_in(api, namespace)


async def test_secret_of_the_namespace_is_used_where_the_control_plane_has_none(
    begin: Begin, api: KubeClient, namespace: str, kubelet: Kubelet
) -> None:
    await api.create(
        f"{namespace}/secrets",
        {"metadata": {"name": "volary-secrets"}, "data": {"old": "b2xk", "My-Key": "b2xk"}},
    )
    async with begin() as agent:
        keep(agent, {"My-Key": CANARY})
        job = ask(
            await agent.jobs.make("true"),
            Secret(key="old", env_var="OLD", mount_requirement=Secret.ENV_VAR),
            Secret(key="My-Key", env_var="T", mount_requirement=Secret.ENV_VAR),
            Secret(group="team", key="k", env_var="K", mount_requirement=Secret.ENV_VAR),
        )
        path = agent.jobs.path(job)
        attempt = await agent.start(job)
        await kubelet.run(path)
        env = (await api.get(path))["spec"]["containers"][0]["env"]
        await kubelet.end(path, 0)
        await attempt.end()

    name = path.rpartition("/")[2]
    assert {
        each["name"]: each["valueFrom"]["secretKeyRef"]["name"]
        for each in env
        if each["name"] in {"OLD", "T", "K"}
    } == {"OLD": "volary-secrets", "T": f"{name}-secrets", "K": "team"}


async def test_image_pull_secrets_of_the_org_are_in_every_pod(
    begin: Begin, api: KubeClient, namespace: str, kubelet: Kubelet
) -> None:
    config = b'{"auths": {"registry.example.com": {"auth": "dTpw"}}}'
    async with begin() as agent:
        keep(agent, {}, [config])
        job = await agent.jobs.make("true")
        path = agent.jobs.path(job)
        attempt = await agent.start(job)
        await kubelet.run(path)
        [pull] = (await api.get(path))["spec"]["imagePullSecrets"]
        secret = (await secrets_in(api, namespace))[pull["name"]]
        await kubelet.end(path, 0)
        await attempt.end()
        after = await secrets_in(api, namespace)

    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    assert json.loads(b64decode(secret["data"][".dockerconfigjson"])) == json.loads(config)
    assert pull["name"] not in after


async def test_secret_of_an_earlier_agent_is_replaced_and_its_successor_cleans_up(
    begin: Begin, api: KubeClient, namespace: str, kubelet: Kubelet
) -> None:
    async with begin() as agent:
        job = ask(
            await agent.jobs.make("true"),
            Secret(key="My-Key", env_var="T", mount_requirement=Secret.ENV_VAR),
        )
        name = agent.jobs.path(job).rpartition("/")[2]
        stale = {"metadata": {"name": f"{name}-secrets"}, "data": {"s0": "b2xk"}}
        await api.create(f"{namespace}/secrets", stale)
        keep(agent, {"My-Key": CANARY})
        attempt = await agent.start(job)
        await kubelet.run(agent.jobs.path(job))
        secret = (await secrets_in(api, namespace))[f"{name}-secrets"]
        await attempt.last_reported.until(Phase.RUNNING)
        await attempt.release()
    assert b64decode(secret["data"]["s0"]) == CANARY

    async with begin() as agent:
        keep(agent, {})
        attempt = await agent.start(replace(job, last_reported=Phase.RUNNING))
        await kubelet.end(agent.jobs.path(job), 0)
        await attempt.end()
        assert not await secrets_in(api, namespace)
