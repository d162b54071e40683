"""The SDK's connector server as a process, its jobs, and runtimes beside it."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from flyteidl2.core import tasks_pb2
from google.protobuf import struct_pb2

from dataplane.agent.core.active_attempts import StatusUpdate
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.connectors.client import Endpoint
from dataplane.agent.runtimes.connectors.endpoints import ConnectorSettings, Endpoints
from dataplane.agent.runtimes.connectors.jobs import Pace
from dataplane.agent.runtimes.connectors.requests import SecretValues
from dataplane.agent.runtimes.connectors.runtime import ConnectorRuntime
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.tasks import Variable
from shared.kit.clock import SystemClock
from tests.integration.agent.world import make_inputs
from tests.integration.connectors.names import DIRECTORY_VARIABLE, TASK_TYPE
from tests.ports import free_ports
from tests.programs import Program
from tests.unit.agent.assignments import make_assignment, make_job

PACE = Pace(
    first=timedelta(milliseconds=20),
    at_most=timedelta(milliseconds=50),
    unavailable_timeout=timedelta(seconds=80),
    dial=timedelta(seconds=2),
    creation_grace=timedelta(seconds=30),
)
_REPOSITORY = Path(__file__).parents[3]
_READY_WITHIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Jobs:
    """Requests that the test connector received, and the states of its jobs."""

    directory: Path

    def clear(self) -> None:
        for path in self.directory.iterdir():
            path.unlink()

    @property
    def created(self) -> Sequence[str]:
        return sorted(path.stem for path in self.directory.glob("*.asked"))

    @property
    def deleted(self) -> Sequence[str]:
        return sorted(path.stem for path in self.directory.glob("*.deleted"))

    def asked(self, job: str) -> Mapping[str, object]:
        asked: Mapping[str, object] = json.loads((self.directory / f"{job}.asked").read_text())
        return asked

    def all_do(self, phase: str, **more: object) -> None:
        """Say how every job does from its creation on."""
        (self.directory / "default.json").write_text(json.dumps({"phase": phase, **more}))

    def does(self, job: str, phase: str, **more: object) -> None:
        draft = self.directory / f"{job}.draft"
        draft.write_text(json.dumps({"phase": phase, **more}))
        draft.replace(self.directory / f"{job}.json")

    @property
    def has_arrived(self) -> bool:
        """Whether a job was asked for, created or not."""
        return (self.directory / "arrived").exists()

    def hold(self) -> None:
        """Let no job be created for the time being."""
        (self.directory / "hold").touch()

    def release(self) -> None:
        (self.directory / "hold").unlink()

    def refuse(self, why: str) -> None:
        (self.directory / "refuse").write_text(why)


class Server:
    """The server's process; it may be killed, and started again at the same address."""

    def __init__(self, directory: Path, jobs: Jobs) -> None:
        self._port, metrics_port = free_ports(2)
        self.endpoint = Endpoint(address=f"127.0.0.1:{self._port}")
        self.jobs = jobs
        self._program = Program(
            "server",
            [
                Path(sys.executable).parent / "c0",
                *("--port", str(self._port), "--prometheus_port", str(metrics_port)),
                *("--modules", "tests.integration.connectors.connector"),
            ],
            logs=directory,
            environment={
                **os.environ,
                DIRECTORY_VARIABLE: str(jobs.directory),
                "PYTHONPATH": str(_REPOSITORY),
                "DO_NOT_TRACK": "1",
            },
        )

    def start(self) -> None:
        self._program.start()
        self._program.wait_until(
            lambda: _listens(self._port), "it listens", within=_READY_WITHIN_SECONDS
        )

    def kill(self) -> None:
        self._program.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(directory: Path) -> Iterator[Server]:
    jobs = Jobs(directory / "jobs")
    jobs.directory.mkdir()
    server = Server(directory, jobs)
    try:
        server.start()
        yield server
    finally:
        server.kill()


class KnownSecrets:
    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    async def find(self, job: Job, name: str) -> str | None:  # noqa: ARG002 - the protocol's
        return self._values.get(name)


@dataclass(slots=True)
class Agent:
    """One agent's runtime; ``last_reported`` is what it told of its attempts."""

    endpoints: Endpoints
    runtime: ConnectorRuntime
    last_reported: asyncio.Queue[StatusUpdate] = field(default_factory=asyncio.Queue)

    async def report_status(self, update: StatusUpdate) -> None:
        self.last_reported.put_nowait(update)

    async def run(self, job: Job, stop: asyncio.Event | None = None) -> StatusUpdate:
        return await self.runtime.run(job, self.report_status, stop or asyncio.Event())


@asynccontextmanager
async def agent_of(
    *endpoints: Endpoint,
    secrets: SecretValues | None = None,
    ask: bool = True,
    pace: Pace = PACE,
) -> AsyncIterator[Agent]:
    clock = SystemClock()
    asked = Endpoints(ConnectorSettings(endpoints=endpoints), clock)
    try:
        if ask:
            await asked.refresh()
        runtime = ConnectorRuntime(asked, Stores(clock), clock, secrets=secrets, pace=pace)
        yield Agent(asked, runtime)
    finally:
        await asked.close()


def make_connector_job(
    root: Path,
    *,
    number: int = 1,
    custom: Mapping[str, Any] | None = None,
    has_container: bool = False,
    max_runtime: timedelta | None = None,
    outputs: tuple[Variable, ...] = (),
) -> Job:
    """One attempt of the test connector's type, with an input ``n`` in a store below ``root``."""
    assignment = make_assignment(number, base=f"file://{root}/blobs", task_type=TASK_TYPE)
    path = Path(assignment.input_uri.removeprefix("file://"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_inputs({"n": 7}).SerializeToString())
    template = tasks_pb2.TaskTemplate(type=TASK_TYPE)
    entry = template.interface.inputs.variables.add(key="n")
    entry.value.type.simple = 1  # INTEGER
    if custom is not None:
        struct = struct_pb2.Struct()
        struct.update(dict(custom))
        template.custom.CopyFrom(struct)
    if has_container:
        template.container.args.extend(["a0", "--outputs-path", "{{.outputPrefix}}"])
    job = make_job(
        assignment,
        inputs=(Variable("n", is_duration=False),),
        outputs=outputs,
        template=template,
    )
    task = replace(job.task, max_runtime=max_runtime)
    if not has_container:
        task = replace(task, container=None)
    return replace(job, task=task, accepted_at=SystemClock().now())
