"""An operator at a terminal beside a stack that works: cordon, explain, drain, queues."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.task.run_pb2 import RunSpec

from tests.running import until
from tests.system.api_client import ApiClient
from tests.system.commands import Flyte
from tests.system.stack import Stack
from tests.system.test_aborts import are_gone, processes

NOT_EMPTY = 3


class Operator:
    """The ``volary`` command line, used on the stack's data directory."""

    def __init__(self, stack: Stack) -> None:
        self._data = stack.data

    def __call__(self, *arguments: str, expect: int = 0) -> str:
        done = subprocess.run(  # noqa: S603 -- our own command line
            [
                *(sys.executable, "-m", "controlplane.cli", *arguments),
                *("--data-dir", str(self._data)),
            ],
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == expect, f"{arguments} ended with {done.returncode}:\n{done}"
        return done.stdout + done.stderr

    def read(self, *arguments: str, expect: int = 0) -> Any:
        output = self(*arguments, "--output", "json", expect=expect)
        return json.JSONDecoder().raw_decode(output)[0]  # what is told meanwhile comes after it

    def reasons(self, run: str, action: str = "a0") -> Sequence[str]:
        explained = self.read("explain", f"{run}/{action}")
        return [each["reason"] for each in explained["explanation"]["timeline"]]


@pytest.fixture
def operator(own_stack: Stack) -> Operator:
    own_stack.up.wait_until_said("agent connected")
    return Operator(own_stack)


@pytest.fixture
def flyte(own_stack: Stack, tmp_path: Path) -> Flyte:
    return Flyte(own_stack, tmp_path / "home")


async def test_cordoned_cluster_is_the_pending_reason_until_uncordoned(
    own_stack: Stack, operator: Operator, flyte: Flyte
) -> None:
    operator("cluster", "cordon", "local")
    flyte("deploy", "hello.py", "env")
    api = ApiClient(own_stack.url)
    root = await api.start("hello.main")
    why = operator.read("explain", root.run.name)
    assert why["explanation"]["reason"] == "no_cluster"
    assert "cordoned or drained (local)" in operator("explain", root.run.name)
    assert [each["reason"] for each in why["actions"]] == ["no_cluster"]

    assert "takes work again" in operator("cluster", "uncordon", "local")
    await api.ended(root)
    assert operator.reasons(root.run.name)[0] == "no_cluster"
    assert operator.reasons(root.run.name)[-1] == "running"


async def test_drain_lists_remaining_attempts_until_empty(
    own_stack: Stack, operator: Operator, flyte: Flyte, tmp_path: Path
) -> None:
    flyte("deploy", "endless.py", "env")
    api = ApiClient(own_stack.url)
    root = await api.start("endless.catching", pids=str(tmp_path))
    running = await processes(tmp_path, "only")

    found = operator.read("cluster", "drain", "local")["drain"]
    assert len(found["remaining"]) == 2
    assert "attestation" not in found
    output = operator("cluster", "drain", "local", "--deadline", "1s", expect=NOT_EMPTY)
    assert "2 leased" in output
    assert "local is not empty after 1s" in output

    output = operator("cluster", "drain", "local", "--deadline", "0s", "--stop-rest")
    assert "local is empty." in output
    await are_gone(running)
    [status] = operator.read("cluster", "list")["clusters"]
    assert {"leased", "held", "running"}.isdisjoint(status["load"])  # JSON leaves out zeros

    # Nothing is lost by it: both wait, and begin anew with the attempt that follows.
    (tmp_path / "only").unlink()
    pending = operator.read("explain", root.run.name)["actions"]
    assert [(each["attempt"], each["reason"]) for each in pending] == [
        (2, "no_cluster"),
        (2, "no_cluster"),
    ]
    operator("cluster", "uncordon", "local")
    again = await processes(tmp_path, "only")
    assert {one.pid for one in again}.isdisjoint(one.pid for one in running)
    flyte("abort", "run", root.run.name, "--reason", "enough")
    await are_gone(again)
    details = await api.ended(root)
    assert details.status.phase == ActionPhase.ACTION_PHASE_ABORTED


async def test_queue_dispatches_to_clusters_of_its_pool(
    own_stack: Stack, operator: Operator, flyte: Flyte
) -> None:
    output = operator("queue", "set", "gpu", "--pool", "gpus", "--depth", "10")
    assert "No cluster serves pool gpus" in output
    flyte("deploy", "hello.py", "env")
    api = ApiClient(own_stack.url)
    root = await api.start("hello.main", run_spec=RunSpec(queue="gpu"))
    assert "No cluster serves pool gpus" in operator("explain", root.run.name)
    assert "is in use" in operator("queue", "delete", "gpu", expect=1)

    operator("cluster", "move", "local", "--pool", "gpus")
    await api.ended(root)
    await until(lambda: "actions" not in operator.read("queue", "list")["queues"][0]["load"])
    operator("queue", "delete", "gpu")
    assert operator.read("queue", "list") == {"queues": []}


def test_unknown_name_error_lists_existing_names(operator: Operator) -> None:
    assert "cluster x not found; there is local" in operator("cluster", "show", "x", expect=1)
    assert "org y not found; there is local" in operator("cluster", "list", "--org", "y", expect=1)
    assert "run flytesnacks/development/nope not found" in operator("explain", "nope", expect=1)
