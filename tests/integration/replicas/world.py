"""Replicas as an operator runs them, and a real agent: processes that tests stop and kill."""

import os
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import asyncpg
from flyteidl2.actions.actions_service_pb2 import Action, EnqueueRequest
from flyteidl2.common.identifier_pb2 import ActionIdentifier
from flyteidl2.core.types_pb2 import LiteralType, SimpleType
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow.run_definition_pb2 import ConditionAction, TaskAction
from flyteidl2.workflow.run_service_pb2 import CreateRunRequest

from tests.integration.agent.world import TASKS, ActionRequest, make_inputs, make_task_spec
from tests.ports import free_ports
from tests.programs import Program
from tests.servers.postgres import DatabaseForTest
from tests.system.api_client import PROJECT_ID, ApiClient

TOKEN = "the-token-of-a-cluster-of-tests"  # noqa: S105
_WITHIN_SECONDS = 60.0
_ROOT = Path(__file__).parents[3]


@dataclass(slots=True)
class Replica:
    program: Program
    http_port: int
    link_port: int
    api: ApiClient = field(init=False)

    def __post_init__(self) -> None:
        self.api = ApiClient(f"http://127.0.0.1:{self.http_port}")

    @property
    def link(self) -> str:
        return f"127.0.0.1:{self.link_port}"

    def readiness(self) -> int:
        """Return the status code of ``/readyz``; 0 if there is no answer."""
        try:
            with urlopen(f"{self.api.url}/readyz", timeout=5) as answer:  # noqa: S310 -- ours
                return int(answer.status)
        except HTTPError as refusal:
            return refusal.code
        except OSError:
            return 0

    def is_ready(self) -> bool:
        return self.readiness() == 200

    def start(self) -> None:
        self.program.start()

    def wait_until_ready(self) -> None:
        self.program.wait_until(self.is_ready, "it is ready", within=_WITHIN_SECONDS)

    def has_agent(self) -> bool:
        """Whether an agent's stream ends here, by its log."""
        output = self.program.output()
        return output.count("agent inventory reconciled") > output.count("agent disconnected")


class World:
    """A database, a bucket, replicas, and at most one agent."""

    def __init__(
        self,
        home: Path,
        database: DatabaseForTest,
        *,
        replicas: int,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """``variables``: more of the environment of all programs."""
        self._variables = variables or {}
        self.home = home
        self.blobs = home / "blobs"
        self._database = database
        home.mkdir(parents=True, exist_ok=True)
        self.replicas = [self._replica(number) for number in range(replicas)]
        self._agent: Program | None = None
        self._bundle = self._pack()

    @property
    def agent(self) -> Program:
        assert self._agent is not None
        return self._agent

    def start_agent(self, *replicas: Replica) -> None:
        """Start the agent of the one cluster, to dial these replicas."""
        token = self.home / "token"
        token.write_text(TOKEN)
        command = [
            *(sys.executable, "-m", "dataplane.agent", "run", "--token-file", str(token)),
            *("--control-plane", ",".join(replica.link for replica in replicas)),
            *("--data-dir", str(self.home / "agent"), "--log-level", "debug"),
            *("--public-endpoint", f"localhost:{replicas[0].http_port}"),
        ]
        environment = {**context(self.home), **self._variables}
        self._agent = Program("agent", command, logs=self.home, environment=environment)
        self._agent.start()
        wait_until(lambda: any(each.has_agent() for each in replicas), "the agent is connected")

    def task(self, action: ActionRequest) -> TaskSpec:
        return make_task_spec(action, self._bundle)

    async def start(self, replica: Replica, action: ActionRequest) -> ActionIdentifier:
        """Start a run of its own for a task, and name its root."""
        created = await replica.api.runs.create_run(
            CreateRunRequest(
                project_id=PROJECT_ID,
                task_spec=self.task(action),
                inputs=make_inputs(action.inputs),
            )
        )
        return created.run.action.id

    def child(self, root: ActionIdentifier, name: str, action: ActionRequest) -> EnqueueRequest:
        """Make a request to enqueue a task below ``root``."""
        inputs = self.blobs / "local" / "inputs" / root.run.name / name
        inputs.mkdir(parents=True)
        (inputs / "inputs.pb").write_bytes(make_inputs(action.inputs).SerializeToString())
        return EnqueueRequest(
            action=Action(
                action_id=ActionIdentifier(run=root.run, name=name),
                parent_action_name=root.name,
                input_uri=f"{inputs.as_uri()}/inputs.pb",
                run_output_base=self.blobs.as_uri(),
                task=TaskAction(spec=self.task(action)),
            )
        )

    async def relays(self) -> int:
        """Count the calls between replicas that lie in the store."""
        return int(await self._look("SELECT count(*) FROM relays"))

    async def retries(self) -> int:
        """Count the attempts that were not the first."""
        return int(await self._look("SELECT count(*) FROM attempts WHERE number > 1"))

    async def longest_wait(self) -> float:
        """Return for how many seconds an action waited to be leased, at most."""
        waits = (
            "SELECT extract(epoch FROM max(t.leased_at - a.created_at)) FROM attempts t"
            " JOIN actions a ON a.org = t.org AND a.id = t.action_id"
        )
        return float(await self._look(waits))

    async def _look(self, query: str) -> Any:
        owner = await asyncpg.connect(self._database.owner_url)
        found = await owner.fetchval(query)
        await owner.close()
        return found

    def kill_all(self) -> None:
        for program in [*(replica.program for replica in self.replicas), self._agent]:
            if program is not None and program.is_running:
                program.end()

    def output(self) -> str:
        """Everything that everybody said, for a test that failed."""
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-6000:]}"
            for path in sorted(self.home.glob("*.log"))
        )

    def _replica(self, number: int) -> Replica:
        http_port, link_port = free_ports(2)
        environment = {
            **context(self.home),
            "VOLARY_DATABASE_URL": self._database.url,
            "VOLARY_DATABASE_POOL_SIZE": "8",
            "VOLARY_BLOB_BASE": self.blobs.as_uri(),
            "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
            "VOLARY_CLUSTER_TOKEN": TOKEN,
            "VOLARY_HTTP_PORT": str(http_port),
            "VOLARY_LINK_PORT": str(link_port),
            "VOLARY_LOG_LEVEL": "debug",
            **self._variables,
        }
        command = [sys.executable, "-m", "controlplane.cli", "controlplane", "serve"]
        program = Program(f"replica-{number}", command, logs=self.home, environment=environment)
        return Replica(program, http_port, link_port)

    def _pack(self) -> str:
        """Pack the tasks as the SDK does for code that is not in the image."""
        (self.blobs / "local").mkdir(parents=True)
        path = self.blobs / "local" / "bundle.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for file in TASKS.glob("*.py"):
                archive.add(file, file.name)
        return path.as_uri()


@contextmanager
def running(
    home: Path,
    database: DatabaseForTest,
    *,
    replicas: int,
    variables: Mapping[str, str] | None = None,
) -> Iterator[World]:
    """Have so many replicas up for the length of a block."""
    world = World(home, database, replicas=replicas, variables=variables)
    try:
        for replica in world.replicas:
            replica.start()
        for replica in world.replicas:
            replica.wait_until_ready()
        yield world
    finally:
        world.kill_all()


def nap(seconds: float = 0) -> ActionRequest:
    """Make a task without a process: it sleeps."""
    return ActionRequest(
        task="nap", type="core-sleep", inputs={"duration": timedelta(seconds=seconds)}
    )


def condition(root: ActionIdentifier, name: str) -> EnqueueRequest:
    return EnqueueRequest(
        action=Action(
            action_id=ActionIdentifier(run=root.run, name=name),
            parent_action_name=root.name,
            input_uri="placeholder",
            run_output_base="placeholder",
            condition=ConditionAction(
                name="approve", type=LiteralType(simple=SimpleType.BOOLEAN), prompt="ok?"
            ),
        )
    )


def wait_until(
    fact: Callable[[], bool], what: str, *, output: Callable[[], str] = lambda: ""
) -> None:
    """Wait for what another process does: it can only be looked at again and again."""
    until = time.monotonic() + _WITHIN_SECONDS
    while not fact():
        assert time.monotonic() < until, f"{what}: not in time\n{output()}"
        time.sleep(0.02)


def context(home: Path) -> dict[str, str]:
    """The environment of a program that knows of nothing but its home."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(_ROOT)}
