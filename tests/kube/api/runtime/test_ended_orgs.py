"""Attempts of a deleted org end in the cluster: their pods are deleted, and their ends reported."""

from dataclasses import replace
from datetime import timedelta

from flyteidl2.task import task_definition_pb2

from dataplane.agent.loops.attempts import Attempts
from dataplane.agent.loops.fence import Fence
from dataplane.agent.loops.log_followers import LogFollowers
from dataplane.agent.loops.session_handler import AgentSessionHandler
from dataplane.agent.runtimes.runtime_selection import Logs, Runtimes
from shared.kit.clock import SystemClock
from shared.kit.wakeup import Wakeup
from shared.model.link_messages import Assignments, Confirmed, DesiredState, Lease
from shared.model.phases import Phase
from tests.contract.ledger.promises import digest_of
from tests.kube.api.ledger.conftest import open_ledger
from tests.kube.api.runtime.conftest import Begin
from tests.kube.api.runtime.kubelet import Kubelet
from tests.kube.client import KubeClient
from tests.running import running, until


class NoFence:
    def allow_until(self, _: object) -> None: ...


async def test_pods_of_a_deleted_org_are_deleted_and_reported_as_aborted(
    begin: Begin, api: KubeClient, place: str, kubelet: Kubelet
) -> None:
    async with begin() as agent, open_ledger(agent.cluster.kube, place) as ledger:
        wakeup, clock = Wakeup(), SystemClock()
        runtimes = Runtimes(choices=(), unsupported=agent.runtime, capabilities=())
        attempts = Attempts(ledger, runtimes, wakeup, clock)
        handler = AgentSessionHandler(
            ledger=ledger,
            attempts=attempts,
            followers=LogFollowers(Logs(()), wakeup),
            fence=Fence(ledger, attempts, NoFence(), clock, grace=timedelta()),
            wakeup=wakeup,
            slots=10,
            free_memory=lambda: 2**40,
            clock=clock,
        )
        async with running(attempts):
            await handler.begin()
            job = await agent.jobs.make("true", owned=False)
            spec = task_definition_pb2.TaskSpec(task_template=job.task.template).SerializeToString()
            assignment = replace(job.assignment, task_spec=digest_of(spec), run_spec=digest_of(b""))
            path, active = agent.jobs.path(job), ledger.active
            specs = {digest_of(body): body for body in (spec, b"")}
            await handler.take(Assignments([assignment], specs))
            await until(lambda: assignment.attempt in active)
            await handler.take(Confirmed([Lease(assignment.attempt, assignment.lease)]))
            await kubelet.run(path)
            await until(lambda: active[assignment.attempt].phase is Phase.RUNNING)

            await handler.take(DesiredState(end_attempts="the org was deleted"))
            await api.wait_for(path, lambda it: "deletionTimestamp" in it["metadata"])
            await kubelet.end(path, 143)
            await kubelet.finish(path)
            await until(lambda: active[assignment.attempt].phase is Phase.ABORTED)
            assert handler.capacity() == 0
            await until(lambda: handler.holding() == (1, 0))  # until the report is acknowledged
