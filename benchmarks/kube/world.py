"""Runs the system under measurement: a control plane, and an agent on a cluster without nodes."""

import asyncio
import os
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
import psutil
import yaml
from flyteidl2.core.tasks_pb2 import Container, TaskTemplate
from flyteidl2.task.task_definition_pb2 import TaskSpec

from benchmarks.dispatch import DOMAIN, PROJECT
from dataplane.agent.kube.client import Kube
from tests.integration.replicas.world import Replica
from tests.kube import controlplane
from tests.kube.client import KubeClient
from tests.kube.controlplane import KubeForTests
from tests.ports import free_ports
from tests.programs import Program
from tests.servers.postgres import PostgresForTests

NAMESPACE = f"{PROJECT}-{DOMAIN}"  # where pods run
_OWN_NAMESPACE = "volary"
_CRDS = Path(__file__).parents[2] / "infra" / "helm" / "volary-agent" / "crds"
_WITHIN_SECONDS = 600.0


def pod_spec() -> TaskSpec:
    """Build a task of one container without inputs and outputs."""
    template = TaskTemplate(
        type="raw-container", container=Container(image="benchmark:1", args=["true"])
    )
    template.id.name, template.id.version = "bench.pod", "1"
    template.id.project, template.id.domain = PROJECT, DOMAIN
    return TaskSpec(task_template=template, short_name="pod")


class World:
    """The programs, and the CPU and memory they have used so far."""

    def __init__(
        self, home: Path, kube: KubeForTests, database_url: str, profile: Path | None
    ) -> None:
        token = secrets.token_hex(16)
        (home / "token").write_text(token)
        (home / "blobs").mkdir()
        http_port, link_port, proxy_port = free_ports(3)
        context = {"PATH": os.environ["PATH"], "HOME": str(home), "DO_NOT_TRACK": "1"}
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
        self.kube = kube
        self.control = Replica(
            Program("control-plane", serve, logs=home, environment={**context, **settings}),
            http_port,
            link_port,
        )
        profiled = [] if profile is None else ["-m", "cProfile", "-o", str(profile)]
        self.agent = Program(
            "agent",
            [
                *(sys.executable, *profiled, "-m", "dataplane.agent"),
                *("run", "--runtime", "kubernetes"),
                *("--control-plane", self.control.link, "--token-file", str(home / "token")),
                *("--kubeconfig", str(kube.kubeconfig()), "--namespace", _OWN_NAMESPACE),
                *("--public-endpoint", f"127.0.0.1:{http_port}", "--slots", "20000"),
                *("--proxy-listen", f"127.0.0.1:{proxy_port}"),
                *("--proxy-address", f"127.0.0.1:{proxy_port}", "--identity", "benchmark"),
            ],
            logs=home,
            environment=context,
        )
        self._postgres = asyncio.run(_find_server(database_url))

    @property
    def process(self) -> psutil.Process:
        """The agent's process."""
        return _process(self.agent)

    def connections(self) -> int:
        return self.agent.output().count("connected to the control plane")

    def terms_lost(self) -> int:
        """Return how often the agent failed to renew its Lease in time and started over."""
        return self.agent.output().count("leader election lost")

    def cpu_seconds(self) -> Mapping[str, float]:
        """Return the CPU seconds that each process has used so far."""
        parts = {
            "agent": [self.process],
            "API server": [psutil.Process(self.kube.api_server.pid)],
            "etcd": [psutil.Process(self.kube.etcd.pid)],
            "Kubernetes' controllers": [psutil.Process(self.kube.controllers.pid)],
            "control plane": [_process(self.control.program)],
            "Postgres": [self._postgres, *self._postgres.children()],
            "kubelet and client, this program": [psutil.Process()],
        }
        return {part: sum(map(_cpu, processes)) for part, processes in parts.items()}


def _process(program: Program) -> psutil.Process:
    return psutil.Process(program.pid)


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


async def _find_server(url: str) -> psutil.Process:
    connection = await asyncpg.connect(url)
    try:
        backend = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()"))
        return backend.parent() or backend
    finally:
        await connection.close()


@contextmanager
def servers(profile: Path | None) -> Iterator[World]:
    with (
        tempfile.TemporaryDirectory(prefix="volary-benchmark-") as directory,
        controlplane.running(Path(directory, "kube")) as kube,
        PostgresForTests.running() as server,
        server.migrated() as database,
    ):
        yield World(Path(directory), kube, database.url, profile)


@asynccontextmanager
async def running(world: World) -> AsyncIterator[Kube]:
    """Run both for the length of a block; the yielded client is for the stub kubelet."""
    async with world.kube.client() as client:
        await _prepare(client)
    async with Kube.open(world.kube.kubeconfig()) as kube:
        try:
            world.control.start()
            await until(world.control.is_ready, "the control plane is ready")
            world.agent.start()
            await until(lambda: world.connections() > 0, "the agent is connected")
            yield kube
        except BaseException:
            print(world.agent.output()[-4000:], world.control.program.output()[-2000:])
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
    for namespace in (_OWN_NAMESPACE, NAMESPACE):
        labels = {"volary.dev/managed": "true"} if namespace == NAMESPACE else {}
        await kube.create("/api/v1/namespaces", {"metadata": {"name": namespace, "labels": labels}})


async def until(fact: Callable[[], bool], what: str, *, within: float = _WITHIN_SECONDS) -> None:
    deadline = time.monotonic() + within
    while not fact():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {within:g} s")
        await asyncio.sleep(0.02)
