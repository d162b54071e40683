"""The SDK in a task, nested tasks and all, through the door to a real control plane."""

import asyncio
import json
import os
import sys
from pathlib import Path

from dataplane.agent.core import entrance
from dataplane.agent.runtimes.kubernetes.door import door_environment
from tests.integration.replicas.world import _TOKEN, Program, World, _clean, running
from tests.kube.api.door.world import until, world
from tests.kube.controlplane import KubeForTests
from tests.servers.postgres import DatabaseForTest
from tests.system.commands import DOMAIN, PROJECT

_RUN = "throughthedoor"
_WORKFLOW = f"""
import asyncio, json, sys
import flyte

env = flyte.TaskEnvironment(name="door")

@env.task
async def double(x: int) -> int:
    return x * 2

@flyte.trace
async def note(x: int) -> int:
    return x + 1

@env.task
async def main(n: int) -> int:
    doubled = await asyncio.gather(*(double(x) for x in range(n)))
    return await note(sum(doubled))

if __name__ == "__main__":
    flyte.init(endpoint=sys.argv[1], insecure=True, project="{PROJECT}", domain="{DOMAIN}")
    context = flyte.with_runcontext(name="{_RUN}", env_vars=json.loads(sys.argv[2]))
    run = context.run(main, n=3)
    run.wait()
    print("outputs", list(run.outputs()))
"""


async def test_nested_tasks_of_the_real_sdk_work_through_the_door(
    kube_api: KubeForTests, test_database: DatabaseForTest, tmp_path: Path
) -> None:
    with running(tmp_path / "world", test_database, replicas=1) as plane:
        replica = plane.replicas[0]
        async with world(kube_api, tmp_path, replica.door.url) as here:
            pod = await here.pod(_RUN)
            (tmp_path / "token").write_text(f"{pod.token}\n")
            address = here.url.removeprefix("https://")
            environment = {
                name: value.replace(entrance.TOKEN_FILE, str(tmp_path / "token")).replace(
                    entrance.CA_FILE, str(here.ca_file)
                )
                for name, value in door_environment(address).items()
            }
            agent = _agent(plane, address)
            agent.start()
            try:
                said = await _run(tmp_path, replica.door.url, environment)
                assert "outputs [7]" in said
            finally:
                agent.end()
            calls = here.door.counts.calls
            assert calls["flyteidl2.actions.ActionsService/Enqueue"] == 4  # a trace is one, too
            assert calls["flyteidl2.actions.ActionsService/WatchForUpdates"] >= 1
            await until(lambda: here.door.counts.streams == 0)


async def _run(home: Path, url: str, environment: dict[str, str]) -> str:
    (home / "workflow.py").write_text(_WORKFLOW)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "workflow.py", url.removeprefix("http://"), json.dumps(environment)),
        cwd=home,
        env={**os.environ, "HOME": str(home), "DO_NOT_TRACK": "1", "LOG_LEVEL": "WARNING"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(90):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = out.decode()
    assert process.returncode == 0, said
    return said


def _agent(plane: World, endpoint: str) -> Program:
    """Make an agent whose tasks are told that the door is the control plane."""
    token = plane.home / "token"
    token.write_text(_TOKEN)
    command = [
        *(sys.executable, "-m", "dataplane.agent", "run", "--token-file", str(token)),
        *("--control-plane", plane.replicas[0].link, "--data-dir", str(plane.home / "agent")),
        *("--public-endpoint", endpoint, "--log-level", "debug"),
    ]
    return Program(command, _clean(plane.home), plane.home / "agent.log")
