"""Fixtures of the agent's integration tests: a real agent process, real task specs."""

import asyncio
import os
import signal
import sys
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from uuid import uuid4

from flyteidl2.core import interface_pb2, literals_pb2, tasks_pb2, types_pb2
from flyteidl2.task import common_pb2, run_pb2, task_definition_pb2

from dataplane.agent.runtimes.process.process_identity import read_stat
from shared.model.assignments import Assignment
from shared.model.ids import (
    ActionId,
    ActionKey,
    ActionName,
    AttemptId,
    DomainName,
    LeaseId,
    OrgName,
    ProjectName,
    RunKey,
    RunName,
)
from tests import program_logs
from tests.fakes.control import TOKEN, FakeControl

TASKS = Path(__file__).parent / "tasks"
_A0_ARGS = [
    *("a0", "--inputs", "{{.input}}", "--outputs-path", "{{.outputPrefix}}", "--version", "v1"),
    *("--raw-data-path", "{{.rawOutputDataPrefix}}"),
    *("--checkpoint-path", "{{.checkpointOutputPrefix}}"),
    *("--prev-checkpoint", "{{.prevCheckpointPrefix}}"),
    *("--run-name", "{{.runName}}", "--name", "{{.actionName}}"),
    *("--run-start-time", "{{.runStartTime}}"),
    *("--tgz", "{bundle}", "--dest", "."),
    *("--resolver", "flyte._internal.resolvers.default.DefaultTaskResolver", "mod"),
]
RUN_SPEC = run_pb2.RunSpec()


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequest:
    """A task to run, as a test describes it."""

    task: str  # a function of tests/integration/agent/tasks/work.py
    inputs: Mapping[str, int | str | timedelta] = field(default_factory=dict)
    outputs: Sequence[str] = ()
    type: str = "python"
    module: str = "work"
    env: Mapping[str, str] = field(default_factory=dict)
    memory: str = ""
    timeout: timedelta | None = None
    args: Sequence[str] | None = None


class World:
    """A directory that is the bucket, and a control plane that assigns attempts."""

    def __init__(self, root: Path, control: FakeControl) -> None:
        self.root = root
        self.control = control
        self.base = f"file://{root}/blobs"
        self.bundle = self._bundle()

    def _bundle(self) -> str:
        """Pack the tasks as the SDK does for code that is not in the image."""
        path = self.root / "blobs" / "bundle.tar.gz"
        path.parent.mkdir(parents=True)
        with tarfile.open(path, "w:gz") as archive:
            for file in TASKS.glob("*.py"):
                archive.add(file, file.name)
        return f"file://{path}"

    def make(
        self, request: ActionRequest, *, run: str = "r1", parent: str | None = None
    ) -> Assignment:
        """Write the inputs to the bucket, and return the assignment."""
        action = ActionName(f"a{uuid4().hex[:8]}")
        run_base = f"{self.base}/acme/p/development/{run}"
        directory = self.path(f"{run_base}/{action}")
        directory.mkdir(parents=True)
        (directory / "inputs.pb").write_bytes(make_inputs(request.inputs).SerializeToString())
        return Assignment(
            org=OrgName("acme"),
            key=ActionKey(
                RunKey(ProjectName("p"), DomainName("development"), RunName(run)), action
            ),
            attempt=AttemptId(ActionId(uuid4()), 1),
            lease=LeaseId(uuid4()),
            parent=None if parent is None else ActionName(parent),
            task_type=request.type,
            task_spec=self.control.spec(make_task_spec(request, self.bundle).SerializeToString()),
            run_spec=self.control.spec(RUN_SPEC.SerializeToString()),
            input_uri=f"{run_base}/{action}/inputs.pb",
            run_base=run_base,
            output_prefix=f"{run_base}/{action}/1",
            previous_output_prefix="",
            raw_data_prefix=f"{self.base}/raw/{run}/{action}",
            run_started_at=datetime(2026, 1, 1, tzinfo=UTC),
        )

    async def assign(self, request: ActionRequest) -> Assignment:
        assignment = self.make(request)
        await self.control.assign(assignment)
        return assignment

    def path(self, uri: str) -> Path:
        return Path(uri.removeprefix("file://"))

    def outputs(self, assignment: Assignment) -> Mapping[str, literals_pb2.Literal]:
        body = self.path(f"{assignment.output_prefix}/outputs.pb").read_bytes()
        return {item.name: item.value for item in common_pb2.Outputs.FromString(body).literals}


def make_task_spec(request: ActionRequest, bundle: str) -> task_definition_pb2.TaskSpec:
    template = tasks_pb2.TaskTemplate(
        type=request.type,
        interface=interface_pb2.TypedInterface(
            inputs=_variables({name: _type_of(value) for name, value in request.inputs.items()}),
            outputs=_variables(dict.fromkeys(request.outputs, types_pb2.INTEGER)),
        ),
        container=tasks_pb2.Container(
            image="ghcr.io/acme/tasks:v1",
            args=request.args
            if request.args is not None
            else [
                *(bundle if arg == "{bundle}" else arg for arg in _A0_ARGS),
                *(request.module, "instance", request.task),
            ],
            env=[
                literals_pb2.KeyValuePair(key=key, value=value)
                for key, value in request.env.items()
            ],
        ),
    )
    template.id.name = f"t.{request.task}"
    if request.memory:
        template.container.resources.requests.add(
            name=tasks_pb2.Resources.MEMORY, value=request.memory
        )
    if request.timeout is not None:
        template.metadata.timeout.FromTimedelta(request.timeout)
    return task_definition_pb2.TaskSpec(task_template=template)


def make_inputs(values: Mapping[str, int | str | timedelta]) -> common_pb2.Inputs:
    inputs = common_pb2.Inputs()
    for name, value in values.items():
        primitive = inputs.literals.add(name=name).value.scalar.primitive
        match value:
            case int():
                primitive.integer = value
            case str():
                primitive.string_value = value
            case timedelta():
                primitive.duration.FromTimedelta(value)
    return inputs


def _type_of(value: int | str | timedelta) -> "types_pb2.SimpleType":
    match value:
        case int():
            return types_pb2.INTEGER
        case str():
            return types_pb2.STRING
        case timedelta():
            return types_pb2.DURATION


def _variables(types: Mapping[str, "types_pb2.SimpleType"]) -> interface_pb2.VariableMap:
    return interface_pb2.VariableMap(
        variables=[
            interface_pb2.VariableEntry(
                key=name,
                value=interface_pb2.Variable(type=types_pb2.LiteralType(simple=simple)),
            )
            for name, simple in types.items()
        ]
    )


class AgentProcess:
    """``python -m dataplane.agent run`` as an operator would start it."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    @classmethod
    async def start(cls, world: World, *options: str) -> Self:
        return await cls.dial(world.control.address, TOKEN, world.root, *options)

    @classmethod
    async def dial(cls, address: str, token: str, root: Path, *options: str) -> Self:
        """Start an agent that keeps everything below ``root`` and dials ``address``."""
        (root / "token").write_text(token)
        log = root / "agent.log"
        program_logs.follow("agent", log)
        program_logs.follow("attempt", root / "agent" / "attempts")
        command = [
            *(sys.executable, "-m", "dataplane.agent", "run"),
            *("--control-plane", address, "--token-file", str(root / "token")),
            *("--data-dir", str(root / "agent"), "--public-endpoint", "localhost:8100"),
            *("--log-level", "debug", *options),
        ]
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdout=output,
                stderr=output,
                cwd=root,
                env={"PATH": os.environ["PATH"], "HOME": str(root)},
            )
        return cls(process, log)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            return await self.process.wait()


@asynccontextmanager
async def agent(world: World, *options: str) -> AsyncIterator[AgentProcess]:
    """Run an agent within the block, and remove everything it leaves."""
    started = await AgentProcess.start(world, *options)
    async with stopped_afterwards(started):
        yield started


@asynccontextmanager
async def stopped_afterwards(started: AgentProcess) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if started.process.returncode is None:
            await started.stop()


async def until(fact: Callable[[], bool], *, seconds: float = 60) -> None:
    """Poll until ``fact`` holds: changes by other processes send no event."""
    async with asyncio.timeout(seconds):
        while not fact():  # noqa: ASYNC110 - no event crosses processes
            await asyncio.sleep(0.02)


async def until_file(path: Path, *, empty: bool = False) -> str:
    """Wait until the file has a complete line; return its text."""

    def is_written() -> bool:
        return path.exists() and (empty or path.read_text().endswith("\n"))

    await until(is_written)
    return await asyncio.to_thread(path.read_text)


def is_running(pid: int) -> bool:
    """Return whether the process exists and is no zombie."""
    fields = read_stat(pid)
    return fields is not None and fields[0] != "Z"
