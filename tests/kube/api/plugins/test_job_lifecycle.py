"""From a task to its end: the runtime makes the resource, the test plays the operator."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from dataplane.agent.core.active_attempts import ActiveAttempt, StatusUpdate
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.events import Events
from dataplane.agent.kube.informer import Informer
from dataplane.agent.kube.objects import MANAGED_LABEL, TASK_ACTION, label_attempt, name_attempt
from dataplane.agent.ledger.taskactions import codec
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.kubernetes.cluster import Cluster
from dataplane.agent.runtimes.kubernetes.plugins.registry import all_plugins
from dataplane.agent.runtimes.kubernetes.runtime import KubernetesRuntime
from dataplane.agent.runtimes.protocol import Job
from shared.kit.clock import SystemClock
from shared.model.phases import Phase
from shared.model.reports import FailureKind
from tests.kube.client import Json, KubeClient, wait_until
from tests.kube.controlplane import KubeForTests
from tests.unit.agent.assignments import make_assignment
from tests.unit.agent.kubernetes.plugins.jobs import (
    SDK_TASKS,
    plugin_of,
    pod_templates,
    sdk_job,
)
from tests.unit.agent.kubernetes.pods.sdk import CLUSTER

_TIMEOUT_SECONDS = 40


@dataclass(frozen=True, slots=True)
class Words:
    """Status that the operator of one resource writes."""

    running: Mapping[str, Any]
    succeeded: Mapping[str, Any]
    failed: Mapping[str, Any]


def _condition(kind: str) -> Mapping[str, Any]:
    condition = {
        "type": kind,
        "status": "True",
        "reason": f"Because{kind}",
        "message": "the operator's words",
        "lastTransitionTime": "2026-06-01T12:00:00Z",
    }
    return {"conditions": [condition]}


def _counted(ready: int) -> Mapping[str, Any]:
    zero = dict.fromkeys(("succeeded", "failed", "active", "suspended"), 0)
    return {"replicatedJobsStatus": [{"name": "workers", "ready": ready, **zero}]}


def _spark(state: str) -> Mapping[str, Any]:
    return {"applicationState": {"state": state}, "driverInfo": {}}


WORDS: Mapping[str, Words] = {
    "clustered-task": Words(_counted(1), _condition("Completed"), _condition("Failed")),
    "dask": Words({"jobStatus": "Running"}, {"jobStatus": "Successful"}, {"jobStatus": "Failed"}),
    "pytorch": Words(_condition("Running"), _condition("Succeeded"), _condition("Failed")),
    "ray": Words(
        {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"},
        {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"},
        {"jobDeploymentStatus": "Failed", "jobStatus": "FAILED"},
    ),
    "spark": Words(_spark("RUNNING"), _spark("COMPLETED"), _spark("FAILED")),
}


@dataclass(slots=True, kw_only=True)
class World:
    """An agent with all plugins, and the API as an operator sees it."""

    api: KubeClient
    kube: Kube
    place: str
    base: Path
    runtime: KubernetesRuntime
    last_reported: asyncio.Queue[StatusUpdate] = field(default_factory=asyncio.Queue)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def make(self, task: str) -> Job:
        """Make a job whose assignment is in the ledger."""
        job = sdk_job(task)
        assignment = make_assignment(base=f"file://{self.base}", task_type=job.task.type)
        job = replace(
            job,
            assignment=assignment,
            task=replace(job.task, outputs=()),
            accepted_at=SystemClock().now(),
        )
        held = ActiveAttempt(assignment=assignment, accepted_at=job.accepted_at)
        name = name_attempt(assignment, self.place)
        entry = codec.render_entry(held, name, label_attempt(assignment))
        await self.kube.create(TASK_ACTION, entry)
        return job

    async def run(self, job: Job) -> StatusUpdate:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            return await self.runtime.run(job, self._tell, self.stop)

    async def until(self, phase: Phase) -> StatusUpdate:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            while (update := await self.last_reported.get()).phase is not phase:
                pass
            return update

    def path(self, job: Job) -> str:
        kind, name = plugin_of(job).kind, name_attempt(job.assignment, self.place)
        return f"{kind.base}/namespaces/{self.place}/{kind.plural}/{name.name}"

    async def appears(self, job: Job) -> Json:
        path = self.path(job)
        await wait_until(lambda: self.api.exists(path), f"{path} is there")
        return await self.api.get(path)

    async def says(self, job: Job, status: Mapping[str, Any]) -> None:
        await self.api.patch(f"{self.path(job)}/status", {"status": dict(status)})

    async def make_pods(self, resource: Json) -> list[str]:
        """Make one pod of each role, as the resource's operator would; return their names."""
        owner = {
            "apiVersion": resource["apiVersion"],
            "kind": resource["kind"],
            "name": resource["metadata"]["name"],
            "uid": resource["metadata"]["uid"],
            "controller": True,
        }
        names = []
        for number, template in enumerate(pod_templates(resource["spec"])):
            metadata = {
                **template["metadata"],
                "name": f"{resource['metadata']['name']}-{number}",
                "ownerReferences": [owner],
            }
            # There is no account of Spark's, and no class for the priority.
            spec = {
                name: value
                for name, value in template["spec"].items()
                if name not in {"serviceAccountName", "priority"}
            }
            pods = f"/api/v1/namespaces/{self.place}/pods"
            await self.api.create(pods, {"metadata": metadata, "spec": spec})
            names.append(metadata["name"])
        return names

    async def ran_out_of_memory(self, pod: str) -> None:
        path = f"/api/v1/namespaces/{self.place}/pods/{pod}"
        body = await self.api.get(path)
        main = body["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"]
        ended = {
            "exitCode": 137,
            "reason": "OOMKilled",
            "startedAt": "2026-06-01T11:00:00Z",
            "finishedAt": "2026-06-01T12:00:00Z",
        }
        status = {
            "name": main,
            "image": "i",
            "imageID": "i",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": ended},
        }
        output = {"status": {"phase": "Failed", "containerStatuses": [status]}}
        await self.api.patch(f"{path}/status", output)

    async def pods(self) -> list[Json]:
        return await self.api.list(f"/api/v1/namespaces/{self.place}/pods")

    async def _tell(self, update: StatusUpdate) -> None:
        self.last_reported.put_nowait(update)


@asynccontextmanager
async def _world(kubeconfig: Path, api: KubeClient, place: str, base: Path) -> AsyncIterator[World]:
    clock, plugins = SystemClock(), all_plugins()
    labels = f"{MANAGED_LABEL}=true"
    async with Kube.open(kubeconfig) as kube, asyncio.TaskGroup() as tasks:
        informers = {
            plugin.kind: Informer(kube, plugin.kind, namespace=place, labels=labels, clock=clock)
            for plugin in plugins
        }
        events = Events(kube, namespace=place, clock=clock)
        cluster = Cluster(
            kube=kube,
            informers=informers,
            events=events,
            templates=CLUSTER,
            stores=Stores(clock),
            clock=clock,
            namespaces=place,
        )
        watching = [tasks.create_task(each.run()) for each in informers.values()]
        watching.append(tasks.create_task(events.run()))
        runtime = KubernetesRuntime(cluster, plugins)
        yield World(api=api, kube=kube, place=place, base=base, runtime=runtime)
        for task in watching:
            task.cancel()


@pytest.fixture
async def world(
    kube_api: KubeForTests, api: KubeClient, place: str, task_actions: None, tmp_path: Path
) -> AsyncIterator[World]:
    del task_actions
    async with _world(kube_api.kubeconfig(), api, place, tmp_path) as world:
        yield world


@pytest.mark.parametrize("task", SDK_TASKS)
async def test_job_is_created_watched_and_succeeds(world: World, task: str) -> None:
    job = await world.make(task)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(world.run(job))
        resource = await world.appears(job)
        (owner,) = resource["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["controller"]) == ("TaskAction", True)
        await world.make_pods(resource)
        await world.says(job, WORDS[task].running)
        await world.until(Phase.RUNNING)
        await world.says(job, WORDS[task].succeeded)
    end = run.result()
    assert end.phase is Phase.SUCCEEDED, end.failure
    assert end.output_uri == job.assignment.output_prefix


@pytest.mark.parametrize("task", SDK_TASKS)
async def test_job_fails_as_its_worker_and_leaves_nothing(world: World, task: str) -> None:
    job = await world.make(task)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(world.run(job))
        *_, worker = await world.make_pods(await world.appears(job))
        await world.says(job, WORDS[task].running)
        await world.until(Phase.RUNNING)
        await world.ran_out_of_memory(worker)
        await wait_until(lambda: _is_failed(world, worker), f"{worker} has failed")
        await world.says(job, WORDS[task].failed)
    end = run.result()
    assert end.phase is Phase.FAILED
    assert end.failure is not None
    assert (end.failure.code, end.failure.kind) == ("OOMKilled", FailureKind.USER)
    assert worker in end.failure.message
    assert not await world.api.exists(world.path(job))
    assert await world.pods() == []


@pytest.mark.parametrize("task", SDK_TASKS)
async def test_stopped_job_is_deleted_with_its_pods(world: World, task: str) -> None:
    job = await world.make(task)
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(world.run(job))
        await world.make_pods(await world.appears(job))
        await world.says(job, WORDS[task].running)
        await world.until(Phase.RUNNING)
        world.stop.set()
    assert run.result().phase is Phase.ABORTED
    assert not await world.api.exists(world.path(job))
    assert await world.pods() == []


async def test_job_without_an_operator_reports_why_it_waits(world: World) -> None:
    job = await world.make("ray")
    async with asyncio.TaskGroup() as tasks:
        run = tasks.create_task(world.run(job))
        waiting = await world.until(Phase.WAITING_FOR_RESOURCES)
        assert waiting.reason == "WaitingForOperator"
        assert "KubeRay" in waiting.message
        world.stop.set()
    assert run.result().phase is Phase.ABORTED


async def _is_failed(world: World, pod: str) -> bool:
    found = await world.api.get(f"/api/v1/namespaces/{world.place}/pods/{pod}")
    return bool(found["status"]["phase"] == "Failed")
