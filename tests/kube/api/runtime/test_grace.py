"""How long a task has to end when it is stopped."""

from shared.model.phases import Phase
from tests.kube.api.runtime.conftest import Begin
from tests.kube.api.runtime.kubelet import Kubelet
from tests.kube.client import Json


async def test_pod_templates_grace_period_is_kept(begin: Begin, kubelet: Kubelet) -> None:
    main = {"name": "primary", "image": "main:1"}
    pod = {"containers": [main], "terminationGracePeriodSeconds": 77}

    assert await seconds_to_end(begin, kubelet, pod) == 77


async def test_task_without_a_grace_period_has_the_clusters(begin: Begin, kubelet: Kubelet) -> None:
    assert await seconds_to_end(begin, kubelet, None) == 1


async def seconds_to_end(begin: Begin, kubelet: Kubelet, pod: Json | None) -> int:
    async with begin() as agent:
        job = await agent.jobs.make("true", pod=pod)
        path = agent.jobs.path(job)
        attempt = await agent.start(job)
        await kubelet.run(path)
        await attempt.last_reported.until(Phase.RUNNING)
        attempt.stop.set()
        seen = await kubelet.api.wait_for(path, lambda it: "deletionTimestamp" in it["metadata"])
        await kubelet.finish(path)
        end = await attempt.end()

    assert end.phase is Phase.ABORTED
    return int(seen["metadata"]["deletionGracePeriodSeconds"])
