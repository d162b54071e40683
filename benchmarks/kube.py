"""
What a cluster's agent does with pods: how soon it makes them, how many, at what price.

On a real API server with its controllers; the kubelet is a few lines of ours that find
every pod done at once, or leave it running, so that what is measured is the agent's and the
API server's. All share the machine. ``python -m benchmarks.kube --help`` lists the knobs.
"""

import argparse
import asyncio
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml
from flyteidl2.core.tasks_pb2 import Container, TaskTemplate
from flyteidl2.task.task_definition_pb2 import TaskSpec

from benchmarks.dispatch import DOMAIN, PROJECT, Bench, flood
from benchmarks.stack import percentile, table
from controlplane.embedded import ports
from tests.integration.replicas.world import Program, Replica
from tests.kube import controlplane
from tests.kube.client import KubeClient
from tests.kube.controlplane import KubeForTests
from tests.servers.postgres import PostgresForTests

_ROOT = Path(__file__).parents[1]
_CRDS = _ROOT / "infra" / "helm" / "volary-agent" / "crds"
_NAMESPACE = "volary"
_PODS = f"/api/v1/namespaces/{PROJECT}-{DOMAIN}/pods"
_ACTION_LABEL = "volary.dev/action"
_LONG_SECONDS = 600.0


def pod_spec() -> TaskSpec:
    """Make a task of one container that takes nothing and gives nothing."""
    template = TaskTemplate(
        type="raw-container", container=Container(image="benchmark:1", args=["true"])
    )
    template.id.name, template.id.version = "bench.pod", "1"
    template.id.project, template.id.domain = PROJECT, DOMAIN
    return TaskSpec(task_template=template, short_name="pod")


@dataclass(slots=True)
class Kubelet:
    """Finds each pod begun, and, if ``finishes``, done; notes when it first saw it."""

    kube: KubeClient
    finishes: bool = True
    seen: "dict[str, float]" = field(default_factory=dict)  # by action; ``perf_counter``
    running: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    hands: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(16))

    async def run(self, ready: asyncio.Event) -> None:
        listed = await self.kube.get(_PODS)
        ready.set()
        async with asyncio.TaskGroup() as tasks:
            async for change in self.kube.watch(_PODS, since=listed["metadata"]["resourceVersion"]):
                pod = change["object"]
                if change["type"] == "ADDED":
                    action = pod["metadata"]["labels"][_ACTION_LABEL]
                    self.seen[action] = time.perf_counter()
                    tasks.create_task(
                        self._find(pod["metadata"]["name"], pod["spec"]["containers"])
                    )

    async def _find(self, name: str, containers: "list[dict[str, str]]") -> None:
        state: dict[str, object] = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        if self.finishes:
            state = {"terminated": {"exitCode": 0, "reason": "Completed"}}
        status = {
            "phase": "Succeeded" if self.finishes else "Running",
            "containerStatuses": [
                {
                    "name": each["name"],
                    "state": state,
                    "ready": not self.finishes,
                    "restartCount": 0,
                    "image": "benchmark:1",
                    "imageID": "",
                }
                for each in containers
            ],
        }
        async with self.hands:
            await self.kube.patch(f"{_PODS}/{name}/status", {"status": status})
        self.running += 1
        self.changed.set()

    async def wait_for(self, count: int) -> None:
        while self.running < count:
            self.changed.clear()
            await self.changed.wait()


class World:
    """A control plane and an agent, on a cluster without a node."""

    def __init__(self, home: Path, kube: KubeForTests, database_url: str) -> None:
        token = secrets.token_hex(16)
        (home / "token").write_text(token)
        (home / "blobs").mkdir()
        http_port, link_port, door_port = (
            ports.require_free("127.0.0.1", 0, option="") for _ in range(3)
        )
        surroundings = {"PATH": os.environ["PATH"], "HOME": str(home), "DO_NOT_TRACK": "1"}
        serve = [sys.executable, "-m", "controlplane.cli", "controlplane", "serve"]
        settings = {
            "VOLARY_DATABASE_URL": database_url,
            "VOLARY_BLOB_BASE": (home / "blobs").as_uri(),
            "VOLARY_BLOB_SIGNING_KEY": secrets.token_hex(16),
            "VOLARY_CLUSTER_TOKEN": token,
            "VOLARY_HTTP_PORT": str(http_port),
            "VOLARY_LINK_PORT": str(link_port),
            "VOLARY_LOG_LEVEL": "warning",
        }
        self.control = Replica(
            Program(serve, {**surroundings, **settings}, home / "control-plane.log"),
            http_port,
            link_port,
        )
        self.agent = Program(
            [
                *(sys.executable, "-m", "dataplane.agent", "run", "--runtime", "kubernetes"),
                *("--control-plane", self.control.link, "--token-file", str(home / "token")),
                *("--kubeconfig", str(kube.kubeconfig()), "--namespace", _NAMESPACE),
                *("--public-endpoint", f"127.0.0.1:{http_port}", "--slots", "20000"),
                *("--door-listen", f"127.0.0.1:{door_port}"),
                *("--door-address", f"127.0.0.1:{door_port}", "--identity", "benchmark"),
            ],
            surroundings,
            home / "agent.log",
        )

    @property
    def process(self) -> psutil.Process:
        if self.agent.process is None:
            raise RuntimeError("the agent does not run")
        return psutil.Process(self.agent.process.pid)

    def connections(self) -> int:
        return self.agent.said().count("connected to the control plane")


@contextmanager
def servers() -> Iterator[tuple[KubeForTests, World]]:
    with (
        tempfile.TemporaryDirectory(prefix="volary-benchmark-") as directory,
        controlplane.running(Path(directory, "kube")) as kube,
        PostgresForTests.running() as server,
        server.migrated() as database,
    ):
        yield kube, World(Path(directory), kube, database.url)


@asynccontextmanager
async def running(kube: KubeForTests, world: World) -> AsyncIterator[KubeClient]:
    async with kube.client() as client:
        await _prepare(client)
        try:
            world.control.start()
            await until(world.control.is_ready)
            world.agent.start()
            await until(lambda: world.connections() > 0)
            yield client
        except BaseException:
            print(world.agent.said()[-4000:], world.control.program.said()[-2000:])
            raise
        finally:
            for program in (world.agent, world.control.program):
                if program.is_running:
                    program.end(signal.SIGTERM)


async def _prepare(kube: KubeClient) -> None:
    for crd in _CRDS.glob("*.yaml"):
        await kube.create(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            yaml.safe_load(crd.read_text()),
        )
    for namespace in (_NAMESPACE, f"{PROJECT}-{DOMAIN}"):
        await kube.create("/api/v1/namespaces", {"metadata": {"name": namespace}})


async def until(fact: Callable[[], bool], *, within: float = _LONG_SECONDS) -> None:
    deadline = time.monotonic() + within
    while not fact():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.02)


async def steady(bench: Bench, kubelet: Kubelet, count: int, per_second: float) -> list[float]:
    """Enqueue at an even pace; return seconds from each Enqueue until its pod was seen."""
    began = time.perf_counter()
    before = len(bench.watched.ended)
    async with asyncio.TaskGroup() as clients:
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / per_second - time.perf_counter()))
            clients.create_task(bench.enqueue(f"s{number}"))
    await bench.watched.wait_for(before + count)
    return [
        kubelet.seen[name] - bench.watched.sent[name] for name in kubelet.seen if name[0] == "s"
    ]


async def measure(cluster: KubeForTests, world: World, options: argparse.Namespace) -> None:
    async with running(cluster, world) as kube, asyncio.TaskGroup() as tasks:
        kubelet, ready = Kubelet(kube), asyncio.Event()
        played = tasks.create_task(kubelet.run(ready))
        await ready.wait()
        bench = Bench(f"127.0.0.1:{world.control.http_port}", child=pod_spec())
        await bench.begin()
        watching = tasks.create_task(bench.watch())
        await bench.watched.ready.wait()
        await flood(bench, "w", 50, 16)
        paced = await steady(bench, kubelet, int(options.rate * options.seconds), options.rate)
        used = world.process.cpu_times()
        took = await flood(bench, "f", options.count, 32)
        used_by_then = world.process.cpu_times()
        empty = world.process.memory_info().rss
        kubelet.finishes, kubelet.running = False, 0
        began = time.perf_counter()
        names = [f"l{number}" for number in range(options.live)]
        await asyncio.gather(*(bench.enqueue(name) for name in names))
        await kubelet.wait_for(options.live)
        alive = time.perf_counter() - began
        full = world.process.memory_info().rss
        rebuilt = await _rebuild(world)
        played.cancel()
        watching.cancel()
        await bench.end()
    cpu = used_by_then.user + used_by_then.system - used.user - used.system
    with table("Kubernetes: pods of a kubelet that answers at once", "measure", "value") as rows:
        for share in (0.5, 0.99):
            name = f"Enqueue sent, pod seen, at {options.rate:.0f}/s, p{100 * share:.0f} ms"
            rows.add_row(name, f"{1000 * percentile(paced, share):.0f}")
        rows.add_row(f"{options.count} pods through, actions/s", f"{options.count / took:.0f}")
        rows.add_row("  agent, CPU ms per action", f"{1000 * cpu / options.count:.2f}")
        rows.add_row(f"{options.live} live pods made, seconds", f"{alive:.1f}")
        rows.add_row("  agent, resident MB", f"{full / 1e6:.0f}")
        rows.add_row("  of that for each pod, KB", f"{(full - empty) / 1e3 / options.live:.1f}")
        rows.add_row("  rebuilt and connected after kill -9, seconds", f"{rebuilt:.1f}")


async def _rebuild(world: World) -> float:
    before = world.connections()
    world.agent.kill()
    began = time.perf_counter()
    world.agent.start()
    await until(lambda: world.connections() > before)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=50.0, help="actions/s of the steady pace")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the steady pace")
    parser.add_argument("--count", type=int, default=1000, help="actions of the flood")
    parser.add_argument("--live", type=int, default=2000, help="pods that stay")
    parser.add_argument("--patience", type=float, default=_LONG_SECONDS, help="seconds in all")
    options = parser.parse_args()
    with servers() as (cluster, world):
        asyncio.run(asyncio.wait_for(measure(cluster, world, options), options.patience))


if __name__ == "__main__":
    main()
