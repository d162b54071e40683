"""Runs the Kubernetes runtime on a test cluster: creates attempts and records their events."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from flyteidl2.core import execution_pb2, tasks_pb2
from flyteidl2.task import task_definition_pb2
from google.protobuf import json_format, struct_pb2

from dataplane.agent.core.active_attempts import ActiveAttempt, StatusUpdate
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.events import Events
from dataplane.agent.kube.informer import Informer
from dataplane.agent.kube.objects import (
    MANAGED_LABEL,
    POD,
    TASK_ACTION,
    label_attempt,
    name_attempt,
)
from dataplane.agent.ledger.taskactions import codec
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.kubernetes.cluster import Cluster
from dataplane.agent.runtimes.kubernetes.pending_reasons import PendingTimeouts
from dataplane.agent.runtimes.kubernetes.plugins.pod import PodPlugin
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates, ProxyAccess
from dataplane.agent.runtimes.kubernetes.runtime import KubernetesRuntime
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import Variable, parse_task
from shared.kit.clock import Clock, SystemClock
from shared.model.logs import LogLine
from shared.model.phases import Phase
from tests.kube import images
from tests.unit.agent.assignments import make_assignment, make_job

TIMEOUT_SECONDS = 60
_PROXY = ProxyAccess(address="volary-proxy.test:8443")


class Reported:
    """Records the events that a runtime reports for an attempt."""

    def __init__(self) -> None:
        self.all: list[StatusUpdate] = []
        self.update: asyncio.Queue[StatusUpdate] = asyncio.Queue()

    async def __call__(self, update: StatusUpdate) -> None:
        self.all.append(update)
        self.update.put_nowait(update)

    async def until(self, phase: Phase, reason: str | None = None) -> StatusUpdate:
        """Wait until that was told; fails after a while."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            while True:
                update = await self.update.get()
                if update.phase is phase and reason in {None, update.reason}:
                    return update

    @property
    def phases(self) -> list[Phase]:
        return [update.phase for update in self.all]


@dataclass(slots=True, kw_only=True)
class Attempt:
    last_reported: Reported
    stop: asyncio.Event
    run: asyncio.Task[StatusUpdate]

    async def end(self, *, within: float = TIMEOUT_SECONDS) -> StatusUpdate:
        async with asyncio.timeout(within):
            return await asyncio.shield(self.run)

    async def release(self) -> None:
        """Simulate the agent's death: the attempt is no longer reconciled."""
        self.run.cancel()
        await asyncio.wait([self.run])


@dataclass(slots=True, kw_only=True)
class Agent:
    """One life of an agent, as far as the runtime is concerned."""

    runtime: KubernetesRuntime
    cluster: Cluster
    jobs: "Jobs"
    tasks: asyncio.TaskGroup
    begun: list[Attempt] = field(default_factory=list)

    async def start(self, job: Job) -> Attempt:
        last_reported, stop = Reported(), asyncio.Event()
        run = self.tasks.create_task(self.runtime.run(job, last_reported, stop))
        self.begun.append(Attempt(last_reported=last_reported, stop=stop, run=run))
        await asyncio.sleep(0)  # it is known from its first step on
        return self.begun[-1]

    async def run(self, job: Job, *, within: float = TIMEOUT_SECONDS) -> StatusUpdate:
        """Run the attempt to its end."""
        attempt = await self.start(job)
        return await attempt.end(within=within)


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    """Makes jobs in one namespace, and their TaskActions."""

    kube: Kube
    namespace: str
    base: Path
    clock: Clock = field(default_factory=SystemClock)

    async def make(
        self,
        script: str = "",
        *,
        number: int = 1,
        command: Sequence[str] = (),
        args: Sequence[str] = (),
        image: str = images.TASK_IMAGE,
        limits: Mapping[int, str] | None = None,
        max_runtime: timedelta | None = None,
        pod: Mapping[str, Any] | None = None,
        outputs: Sequence[str] = (),
        config: Mapping[str, str] | None = None,
        interruptible: bool = False,
        owned: bool = True,
    ) -> Job:
        """Make a job that runs ``script`` in a shell, or the container or pod that is given."""
        template = tasks_pb2.TaskTemplate(type="python", config=config or {})
        template.id.name = "t.work"
        template.metadata.interruptible = interruptible
        if pod is None:
            template.container.image = image
            template.container.command.extend(command or ([] if args else ["sh", "-c", script]))
            template.container.args.extend(args)
            for name, amount in (limits or {}).items():
                template.container.resources.limits.add(name=name, value=amount)
        else:
            spec = json_format.ParseDict(dict(pod), struct_pb2.Struct())
            template.k8s_pod.pod_spec.CopyFrom(spec)
        task = parse_task(task_definition_pb2.TaskSpec(task_template=template).SerializeToString())
        task = replace(
            task,
            max_runtime=max_runtime,
            outputs=[Variable(name, is_duration=False) for name in outputs],
        )
        assignment = make_assignment(number, base=f"file://{self.base}")
        job = replace(make_job(assignment), task=task, accepted_at=self.clock.now())
        if owned:
            await self.own(job)
        return job

    async def own(self, job: Job) -> None:
        """Write the attempt's TaskAction, as the ledger does when it is accepted."""
        active = ActiveAttempt(assignment=job.assignment, accepted_at=job.accepted_at)
        name = name_attempt(job.assignment, self.namespace)
        await self.kube.create(
            TASK_ACTION, codec.render_entry(active, name, label_attempt(job.assignment))
        )

    def leave(self, job: Job, name: str, body: bytes = b"") -> None:
        """Put a file where the task leaves its outputs."""
        directory = Path(job.assignment.output_prefix.removeprefix("file://"))
        directory.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(body)

    def path(self, job: Job) -> str:
        """Return the API's path of the attempt's pod."""
        name = name_attempt(job.assignment, self.namespace)
        return f"/api/v1/namespaces/{name.namespace}/pods/{name.name}"


@asynccontextmanager
async def agent_in(
    kubeconfig: Path,
    namespace: str,
    base: Path,
    *,
    timeouts: PendingTimeouts | None = None,
    lost_after: timedelta = timedelta(minutes=5),
    grace: timedelta = timedelta(seconds=1),
) -> AsyncIterator[Agent]:
    """Run an agent for the length of a block; its attempts are released at the end."""
    clock = SystemClock()
    async with Kube.open(kubeconfig) as kube, asyncio.TaskGroup() as tasks:
        labels = f"{MANAGED_LABEL}=true"
        pods = Informer(kube, POD, namespace=namespace, labels=labels, clock=clock)
        events = Events(kube, namespace=namespace, clock=clock)
        cluster = Cluster(
            kube=kube,
            informers={POD: pods},
            events=events,
            templates=PodTemplates(proxy=_PROXY, defaults={"cpu": "10m", "memory": "64Mi"}),
            stores=Stores(clock),
            clock=clock,
            namespaces=namespace,
            grace=grace,
            lost_after=lost_after,
        )
        watching = [tasks.create_task(pods.run()), tasks.create_task(events.run())]
        async with asyncio.TaskGroup() as attempts:
            agent = Agent(
                runtime=KubernetesRuntime(
                    cluster, [PodPlugin(timeouts=timeouts or PendingTimeouts())]
                ),
                cluster=cluster,
                jobs=Jobs(kube=kube, namespace=namespace, base=base),
                tasks=attempts,
            )
            yield agent
            for attempt in agent.begun:
                attempt.run.cancel()
        for task in watching:
            task.cancel()


async def read_log(agent: Agent, job: Job, *, after: int = 0) -> list[LogLine]:
    """Follow the attempt's log to its end."""
    async with asyncio.timeout(TIMEOUT_SECONDS):
        chunks = [chunk async for chunk in agent.runtime.follow(job.assignment.attempt, after)]
    return [line for chunk in chunks for line in chunk.lines]


def texts(lines: Sequence[LogLine]) -> list[str]:
    return [line.text for line in lines]


def error_document(code: str, message: str) -> bytes:
    error = execution_pb2.ContainerError(code=code, message=message)
    return bytes(execution_pb2.ErrorDocument(error=error).SerializeToString())
