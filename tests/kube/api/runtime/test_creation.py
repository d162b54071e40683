"""A resource is made once, and what the API server says against it is told or judged."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest
from flyteidl2.task import run_pb2

from dataplane.agent.runtimes.tasks import RunSettings
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.kube.api.runtime.conftest import Begin
from tests.kube.api.runtime.kubelet import Kubelet
from tests.kube.api.runtime.quotas import no_pods
from tests.kube.client import KubeClient, KubeError, wait_until

USER, SYSTEM = FailureKind.USER, FailureKind.SYSTEM
CONTAINER = {"name": "main", "image": "other:1"}


async def test_pod_is_owned_by_its_task_action(
    begin: Begin, api: KubeClient, namespace: str, kubelet: Kubelet
) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("true")
        path = agent.jobs.path(job)
        attempt = await agent.start(job)
        await kubelet.run(path)
        await kubelet.end(path, 0)
        end = await attempt.end()

    name = path.rpartition("/")[2]
    owners = (await api.get(path))["metadata"]["ownerReferences"]
    assert end.phase is Phase.SUCCEEDED
    assert [(owner["kind"], owner["name"]) for owner in owners] == [("TaskAction", name)]
    await api.delete(f"{namespace.replace('/api/', '/apis/volary.dev/')}/taskactions/{name}")

    async def is_going() -> bool:
        try:
            return "deletionTimestamp" in (await api.get(path))["metadata"]
        except KubeError as error:
            return error.code == 404

    # The collector of garbage looks for new kinds every half minute.
    await wait_until(is_going, "the pod goes with its owner", within=90)


async def test_labels_that_kubernetes_refuses_are_left_out_and_an_event_says_so(
    begin: Begin, api: KubeClient, kubelet: Kubelet
) -> None:
    spec = run_pb2.RunSpec(labels=run_pb2.Labels(values={"größe": "xl", "team": "a/b", "ok": "d"}))
    async with begin() as agent:
        job = replace(await agent.jobs.make("true"), run=RunSettings(spec=spec))
        path = agent.jobs.path(job)
        attempt = await agent.start(job)
        await kubelet.run(path)
        await kubelet.end(path, 0)
        end = await attempt.end()
        events = [event for update in (*attempt.last_reported.all, end) for event in update.events]

    assert (await api.get(path))["metadata"]["labels"]["ok"] == "d"
    remarks = {event.reason: event.message for event in events if event.reason.startswith("Labels")}
    assert set(remarks) == {"LabelsLeftOut", "LabelsRewritten"}
    assert "'größe'" in remarks["LabelsLeftOut"]
    assert len([event for event in events if event.reason == "LabelsLeftOut"]) == 1


async def test_foreign_pod_with_the_same_name_is_left_alone(
    begin: Begin, api: KubeClient, namespace: str
) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("true")
        path = agent.jobs.path(job)
        other = {"metadata": {"name": path.rpartition("/")[2]}, "spec": {"containers": [CONTAINER]}}
        made = await api.create(f"{namespace}/pods", other)
        end = await agent.run(job)

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("NameTaken", SYSTEM)
    assert (await api.get(path))["metadata"]["uid"] == made["metadata"]["uid"]


async def test_exhausted_quota_is_waited_for_and_reported(
    begin: Begin, api: KubeClient, namespace: str, kubelet: Kubelet
) -> None:
    await no_pods(api, namespace)
    async with begin() as agent:
        job = await agent.jobs.make("true")
        attempt = await agent.start(job)
        waiting = await attempt.last_reported.until(Phase.WAITING_FOR_RESOURCES, "QuotaExceeded")
        await api.delete(f"{namespace}/resourcequotas/few")
        await kubelet.run(agent.jobs.path(job))
        await attempt.last_reported.until(Phase.RUNNING)

    assert waiting.reason == "QuotaExceeded"
    assert "few" in waiting.message


async def test_abort_ends_the_wait_for_a_quota(
    begin: Begin, api: KubeClient, namespace: str
) -> None:
    await no_pods(api, namespace)
    async with begin() as agent:
        attempt = await agent.start(await agent.jobs.make("true"))
        await attempt.last_reported.until(Phase.WAITING_FOR_RESOURCES)
        attempt.stop.set()
        end = await attempt.end(within=20)

    assert end.phase is Phase.ABORTED


async def _strict(api: KubeClient, namespace: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    await api.patch(namespace, {"metadata": {"labels": labels}})


async def _small(api: KubeClient, namespace: str) -> None:
    limit = {"type": "Container", "max": {"memory": "16Mi"}}
    await api.create(
        f"{namespace}/limitranges", {"metadata": {"name": "small"}, "spec": {"limits": [limit]}}
    )


async def _nothing(api: KubeClient, namespace: str) -> None:
    del api, namespace


@dataclass(frozen=True, slots=True, kw_only=True)
class Never:
    """Something the API server will not take."""

    prepare: Callable[[KubeClient, str], Awaitable[None]] = _nothing
    container: Mapping[str, object] = field(default_factory=dict)
    code: str
    words: str


@pytest.mark.parametrize(
    "case",
    [
        Never(prepare=_strict, code="Forbidden", words="PodSecurity"),
        Never(prepare=_small, code="Forbidden", words="maximum memory"),
        Never(container={"imagePullPolicy": "Sometimes"}, code="Invalid", words="imagePullPolicy"),
        Never(container={"args": ["x" * 2_000_000]}, code="TooLarge", words="bytes"),
    ],
    ids=["pod-security", "limit-range", "invalid", "too-large"],
)
async def test_invalid_pod_is_user_failure(
    begin: Begin, api: KubeClient, namespace: str, case: Never
) -> None:
    await case.prepare(api, namespace)
    pod = {"containers": [{**CONTAINER, "name": "primary", **case.container}]}
    async with begin() as agent:
        end = await agent.run(await agent.jobs.make(pod=pod))

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == (case.code, USER), end.failure.message
    assert case.words in end.failure.message
    assert not end.failure.recoverable


async def test_task_without_its_primary_container_fails_at_once(begin: Begin) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("true", pod={"containers": [{**CONTAINER, "name": "other"}]})
        end = await agent.run(job)

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("PrimaryContainerNotFound", USER)
    assert not end.failure.recoverable
    assert "primary" in end.failure.message


async def test_deleted_pod_is_not_created_again(begin: Begin, api: KubeClient) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("true")
        end = await agent.run(replace(job, last_reported=Phase.RUNNING))

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("DeletedFromOutside", SYSTEM)
    assert not await api.exists(agent.jobs.path(job))
