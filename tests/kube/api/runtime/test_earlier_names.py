"""Attempts that an earlier release began, whose pods are called as that release called them."""

import asyncio
from dataclasses import replace

from dataplane.agent.kube.objects import POD, Name, Object, label_attempt, name_attempt
from dataplane.agent.runtimes.kubernetes.cluster import Cluster
from dataplane.agent.runtimes.kubernetes.plugins.pod import PodPlugin
from dataplane.agent.runtimes.kubernetes.resource import Resource
from shared.model.ids import AttemptId
from shared.model.phases import Phase
from tests.kube.api.runtime.conftest import Begin
from tests.kube.api.runtime.kubelet import Kubelet


async def test_pod_named_by_an_earlier_release_is_followed_to_its_end(
    begin: Begin, kubelet: Kubelet, place: str
) -> None:
    async with begin() as agent:
        job = await agent.jobs.make("true")
        earlier = Name(place, "r1-a1-1-0badcafe")
        pod = PodPlugin().build(job, earlier, agent.cluster.templates)
        labels = {**pod["metadata"]["labels"], **label_attempt(job.assignment)}
        attempt_id = str(job.assignment.attempt)
        with agent.cluster.pods.notified(attempt_id) as changed:
            await agent.cluster.kube.create(
                POD, {**pod, "metadata": {**pod["metadata"], "labels": labels}}
            )
            async with asyncio.timeout(40):
                while not agent.cluster.pods.of_attempt(attempt_id):  # a list notifies, too
                    await changed.wait()
                    changed.clear()
        path = agent.jobs.path(job).replace(name_attempt(job.assignment, place).name, earlier.name)

        attempt = await agent.start(replace(job, last_reported=Phase.INITIALIZING))
        await kubelet.run(path)
        await attempt.last_reported.until(Phase.RUNNING)
        await kubelet.end(path, 0)
        end = await attempt.end()
        pods = agent.cluster.pods.of_attempt(attempt_id)

    assert end.phase is Phase.SUCCEEDED
    assert [each["metadata"]["name"] for each in pods] == [earlier.name]


async def test_attempt_stays_in_the_namespace_of_its_task_action(begin: Begin) -> None:
    class Recorded:
        def __init__(self, namespace: str) -> None:
            self.namespace = namespace

        def find_object(self, attempt: AttemptId) -> Object | None:
            return {"metadata": {"namespace": self.namespace, "name": f"r1-{attempt.number}"}}

        def note_object(self, attempt: AttemptId, obj: Object) -> None:
            """Take no note."""

    async with begin() as agent:
        job = await agent.jobs.make("true")

        def named(cluster: Cluster) -> Name:
            return Resource(cluster, POD, job.assignment).name

        templates = replace(agent.cluster.templates, agent_namespace="volary")
        cluster = replace(agent.cluster, templates=templates)
        assert named(replace(cluster, owners=Recorded("p-old"))) == Name("p-old", "r1-1")
        # Kept with the agent, it says nothing of where the pod is.
        usual = name_attempt(job.assignment, agent.cluster.namespaces)
        assert named(replace(cluster, owners=Recorded("volary"))) == usual
