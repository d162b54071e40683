"""
Measures the overhead of a task: ``flyte run`` of a hello task against a bare ``a0``.

The baseline is the same task run with the same command line, without Volary: start Python,
import the SDK, unpack the code, run, write the outputs. The task runs with an agent that forks
it from a process with the SDK loaded (a warm start), and with one that starts Python (cold).
"""

import argparse
import asyncio
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from flyteidl2.common.identifier_pb2 import ProjectIdentifier, RunIdentifier
from flyteidl2.common.list_pb2 import ListRequest
from flyteidl2.task.common_pb2 import Inputs
from flyteidl2.task.task_definition_pb2 import TaskSpec
from flyteidl2.workflow.run_service_connect import RunServiceClient
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest, ListRunsRequest

from benchmarks.stack import Stack, running_stack, table
from scripts.sdk_exits import intended_exit_code

PROJECT, DOMAIN = "flytesnacks", "development"
_HELLO = """
import flyte

env = flyte.TaskEnvironment(name="bench_hello")


@env.task
async def hello() -> None:
    pass
"""


async def _command(words: Sequence[str], environment: "dict[str, str]", cwd: str) -> float:
    """Run a command and return the seconds it took; RuntimeError with its output if it fails."""
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *words,
        env=environment,
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    if intended_exit_code(process.returncode or 0, output.decode()):
        raise RuntimeError(f"{words[0]} ended with {process.returncode}:\n{output.decode()}")
    return time.perf_counter() - began


async def _latest(runs: RunServiceClient) -> TaskSpec:
    """Return the task spec of the latest run."""
    scope = ProjectIdentifier(organization="x", name=PROJECT, domain=DOMAIN)
    page = await runs.list_runs(ListRunsRequest(project_id=scope, request=ListRequest(limit=1)))
    run: RunIdentifier = page.runs[0].action.id.run
    details = await runs.get_run_details(GetRunDetailsRequest(run_id=run))
    return details.details.action.task


async def measure(stack: Stack, cold: Stack, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="volary-hello-") as home:
        Path(home, "hello.py").write_text(_HELLO)
        Path(home, "cold").mkdir()
        environment = {**os.environ, "HOME": home, "DO_NOT_TRACK": "1"}
        # The SDK remembers in its home where it has uploaded a bundle, so each stack has its own.
        with_cold = {**environment, "HOME": str(Path(home, "cold"))}
        flyte = str(Path(sys.executable).with_name("flyte"))
        place = ["--project", PROJECT, "--domain", DOMAIN]
        version = [flyte, "--version"]
        followed: list[float] = []
        client: list[float] = []
        for number in range(options.times + 1):  # by turns, so that all see the same machine
            for each, variables in ((stack, environment), (cold, with_cold)):
                run = [
                    flyte, "--endpoint", each.endpoint, "--insecure", "run", *place, "--follow",
                    "hello.py", "hello",
                ]  # fmt: skip
                taken = await _command(run, variables, home)
                if number and each is stack:  # the first uploads the bundle
                    followed.append(taken)
            client.append(await _command(version, environment, home))
        warm_start = (await _phases(stack))[: options.times]
        cold_start = (await _phases(cold))[: options.times]
        bare = await _bare(stack, environment, home, options.times)
    with table("A hello task", "measure", "median s") as rows:
        rows.add_row("flyte run --follow, to its end", _median(followed))
        rows.add_row("flyte --version (the client's own start)", _median(client))
        rows.add_row("a0 alone, the same command line", _median(bare))
        rows.add_row("in Volary, warm start: run created to run ended", _median(warm_start))
        rows.add_row("in Volary, cold start: run created to run ended", _median(cold_start))
        ratio = statistics.median(warm_start) / statistics.median(cold_start)
        rows.add_row("ratio of warm start to cold start", f"{ratio:.2f}")


async def _phases(stack: Stack) -> Sequence[float]:
    """Return the seconds from creation to end of each run, the latest first, by the server's clock."""
    runs = RunServiceClient(f"http://{stack.endpoint}")
    scope = ProjectIdentifier(organization="x", name=PROJECT, domain=DOMAIN)
    page = await runs.list_runs(ListRunsRequest(project_id=scope, request=ListRequest(limit=50)))
    return [run.action.status.duration_ms / 1000 for run in page.runs]


async def _bare(
    stack: Stack, environment: "dict[str, str]", home: str, times: int
) -> Sequence[float]:
    spec = await _latest(RunServiceClient(f"http://{stack.endpoint}"))
    template = spec.task_template
    a0 = str(Path(sys.executable).with_name("a0"))
    taken: list[float] = []
    for number in range(times):
        base = Path(home, f"bare-{number}")
        (base / "work").mkdir(parents=True)
        inputs = base / "inputs.pb"
        inputs.write_bytes(Inputs().SerializeToString())
        values = {
            "input": str(inputs),
            "outputPrefix": str(base / "out"),
            "rawOutputDataPrefix": str(base / "raw"),
            "checkpointOutputPrefix": str(base / "checkpoint"),
            "prevCheckpointPrefix": "",
            "runName": "bare",
            "actionName": "a0",
            "runStartTime": "2026-01-01T00:00:00Z",
        }
        words = [_filled(word, values) for word in template.container.args]
        variables = {pair.key: pair.value for pair in template.container.env}
        taken.append(
            await _command(
                [a0, *words[1:]],
                {
                    **environment,
                    **variables,
                    "_U_ORG_NAME": "local",
                    "FLYTE_INTERNAL_EXECUTION_PROJECT": PROJECT,
                    "FLYTE_INTERNAL_EXECUTION_DOMAIN": DOMAIN,
                    "RUN_NAME": "bare",
                    "ACTION_NAME": "a0",
                    "_U_RUN_BASE": str(base),
                    "_U_EP_OVERRIDE": stack.endpoint,
                    "_U_USE_ACTIONS": "1",
                    "FSSPEC_FILE_AUTO_MKDIR": "1",
                },
                str(base / "work"),
            )
        )
    return taken


def _filled(word: str, values: "dict[str, str]") -> str:
    """Substitute ``{{.name}}`` templates by values."""
    return re.sub(r"\{\{\s*\.(\w+)\s*\}\}", lambda found: values[found[1]], word)


def _median(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f}"


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="how often each is measured")
    options = parser.parse_args()
    async with (
        running_stack() as stack,
        running_stack(variables={"VOLARY_AGENT_WARM": "false"}) as cold,
    ):
        await measure(stack, cold, options)


if __name__ == "__main__":
    asyncio.run(main())
