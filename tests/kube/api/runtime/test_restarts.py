"""A restarted agent goes by what was reported: existing resources are not created again, nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from flyteidl2.task import task_definition_pb2

from dataplane.agent.kube.errors import UnauthorizedError
from dataplane.agent.kube.objects import Object
from dataplane.agent.ledger.ledger import Ledger
from dataplane.agent.loops.attempts import Attempts
from dataplane.agent.runtimes.kubernetes import runtime_limits
from dataplane.agent.runtimes.kubernetes.plugin import Observation, ObservationContext
from dataplane.agent.runtimes.kubernetes.plugins.pod import PodPlugin
from dataplane.agent.runtimes.kubernetes.runtime import KubernetesRuntime
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.runtime_selection import Runtimes
from shared.kit.clock import SystemClock
from shared.kit.wakeup import Wakeup
from shared.model.ids import AttemptId
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.contract.ledger.promises import digest_of
from tests.kube.api.ledger.conftest import open_ledger
from tests.kube.api.runtime.conftest import Begin
from tests.kube.api.runtime.kubelet import Kubelet
from tests.kube.api.runtime.quotas import no_pods
from tests.kube.attempts import Agent, Reported
from tests.kube.client import KubeClient, wait_until
from tests.running import running, until

PLACED = "PodScheduled"


@dataclass(frozen=True, slots=True)
class Life:
    """One life of an agent that remembers: its ledger, and what runs by it."""

    ledger: Ledger
    attempts: Attempts


@asynccontextmanager
async def life_of(agent: Agent, place: str) -> AsyncIterator[Life]:
    runtimes = Runtimes(choices=(), unsupported=agent.runtime, capabilities=())
    async with open_ledger(agent.cluster.kube, place) as ledger:
        attempts = Attempts(ledger, runtimes, Wakeup(), SystemClock())
        async with running(attempts):
            await attempts.started.wait()
            yield Life(ledger, attempts)


async def test_wait_for_a_quota_survives_the_agent(
    begin: Begin, api: KubeClient, namespace: str, place: str, kubelet: Kubelet
) -> None:
    await no_pods(api, namespace)
    async with begin() as agent, life_of(agent, place) as first:
        job = await agent.jobs.make("true", owned=False)
        spec = task_definition_pb2.TaskSpec(task_template=job.task.template).SerializeToString()
        specs = {digest_of(body): body for body in (spec, b"")}
        assignment = replace(job.assignment, task_spec=digest_of(spec), run_spec=digest_of(b""))
        attempt, path = assignment.attempt, agent.jobs.path(job)
        active = first.ledger.active
        first.attempts.begin(
            await first.ledger.accept([assignment], specs, agent.cluster.clock.now())
        )
        await until(lambda: active[attempt].reason == "QuotaExceeded")

    async with begin() as agent, life_of(agent, place) as second:
        active = second.ledger.active
        assert (active[attempt].phase, active[attempt].assignment) == (
            Phase.WAITING_FOR_RESOURCES,
            assignment,
        )
        await api.delete(f"{namespace}/resourcequotas/few")
        await kubelet.run(path)
        await until(lambda: active[attempt].phase is Phase.RUNNING)
        await kubelet.end(path, 0)
        await until(lambda: active[attempt].phase is Phase.SUCCEEDED)


async def test_unscheduled_pod_that_is_gone_is_not_created_again(
    begin: Begin, api: KubeClient
) -> None:
    """It may have had one, while no agent was there; events of that do not last."""
    async with begin() as first:
        job = await first.jobs.make("true")
        path = first.jobs.path(job)
        attempt = await first.start(job)
        await wait_until(lambda: api.exists(path), "the pod is there")
        unplaced = {"type": PLACED, "status": "False", "reason": "Unschedulable", "message": "full"}
        await api.patch(f"{path}/status", {"status": {"conditions": [unplaced]}})
        last_reported = await attempt.last_reported.until(
            Phase.WAITING_FOR_RESOURCES, "Unschedulable"
        )
        await attempt.release()
    await api.delete(path)

    async with begin() as second:
        end = await second.run(
            replace(
                job, last_reported=last_reported.phase, last_reported_reason=last_reported.reason
            )
        )

    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("DeletedFromOutside", FailureKind.SYSTEM)
    assert not await api.exists(path)


class Refused:
    """Owners of whom nothing is known, and who may not be asked for at first."""

    def __init__(self) -> None:
        self.asked = 0

    def find_object(self, attempt: AttemptId) -> Object | None:
        del attempt
        self.asked += 1
        if self.asked == 2:  # the first is what the pod is called
            raise UnauthorizedError(401, "Unauthorized", "Unauthorized")
        return None

    def note_object(self, attempt: AttemptId, obj: Object) -> None:
        del attempt, obj


async def test_pod_survives_an_agent_without_permissions(
    begin: Begin, kubelet: Kubelet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime_limits, "RECONCILE_INTERVAL", timedelta(milliseconds=100))
    async with begin() as first:
        job = await first.jobs.make("true")
        path = first.jobs.path(job)
        attempt = await first.start(job)
        await kubelet.run(path)
        last_reported = await attempt.last_reported.until(Phase.RUNNING)
        await attempt.release()

    async with begin() as second:
        owners = Refused()
        runtime = KubernetesRuntime(replace(second.cluster, owners=owners), [PodPlugin()])
        await kubelet.end(path, 0)
        async with asyncio.timeout(60):
            end = await runtime.run(
                replace(job, last_reported=last_reported.phase), Reported(), asyncio.Event()
            )

    assert owners.asked > 2
    assert end.phase is Phase.SUCCEEDED


class Broken(PodPlugin):
    def observe(self, job: Job, resource: Object, around: ObservationContext) -> Observation:
        del job, resource, around
        raise RuntimeError("a fault of ours")


async def test_resource_is_deleted_before_an_agent_error_is_reported(
    begin: Begin, api: KubeClient
) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("true")
        runtime = KubernetesRuntime(agent.cluster, [Broken()])
        async with asyncio.timeout(60):
            with pytest.raises(RuntimeError, match="a fault of ours"):
                await runtime.run(job, Reported(), asyncio.Event())

        assert agent.cluster.kube.requests["create", "pods", 201] == 1
        assert not await api.exists(agent.jobs.path(job))
