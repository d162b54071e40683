"""The SDK in a task, nested tasks and all, through the API proxy to a real control plane."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from dataplane.agent.core import pod_identity
from dataplane.agent.runtimes.kubernetes.proxy_environment import proxy_environment
from scripts.sdk_exits import require_success
from tests.integration.replicas.world import TOKEN, World, context, running
from tests.kube.api.proxy.world import Pod, World as Proxies, until, world
from tests.kube.controlplane import KubeForTests
from tests.programs import Program
from tests.servers.postgres import DatabaseForTest
from tests.system.commands import DOMAIN, PROJECT

_RUN = "throughtheproxy"
_WORKFLOW = f"""
import asyncio, json, sys
import flyte

env = flyte.TaskEnvironment(name="proxy")

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

@env.task
async def wait_for(path: str) -> int:
    import pathlib
    while not pathlib.Path(path).exists():
        await asyncio.sleep(0.05)
    return 7

@env.task
async def patient(n: int) -> int:
    import os
    return 2 * await wait_for(os.environ["GO"])

@env.task
async def answer(n: int) -> int:
    return 14 * n

@env.task
async def starts(n: int) -> int:
    run = await flyte.run.aio(answer, n=n)
    await run.wait.aio(quiet=True)
    return list(await run.outputs.aio())[0]

if __name__ == "__main__":
    flyte.init(endpoint=sys.argv[1], insecure=True, project="{PROJECT}", domain="{DOMAIN}")
    context = flyte.with_runcontext(name="{_RUN}", env_vars=json.loads(sys.argv[2]))
    run = context.run(globals()[sys.argv[3]], n=3)
    run.wait()
    print("outputs", list(run.outputs()))
"""


async def test_nested_tasks_of_the_sdk_work_through_the_proxy(
    kube_api: KubeForTests, test_database: DatabaseForTest, tmp_path: Path
) -> None:
    with running(tmp_path / "world", test_database, replicas=1) as plane:
        url = plane.replicas[0].api.url
        async with world(kube_api, tmp_path, url) as here:
            output = await _run(plane, here, await here.pod(_RUN), "main")
            assert "outputs [7]" in output
            calls = here.proxy.counts.calls
            assert calls["flyteidl2.actions.ActionsService/Enqueue"] == 4  # a trace is one, too
            assert calls["flyteidl2.actions.ActionsService/WatchForUpdates"] >= 1
            await until(lambda: here.proxy.counts.streams == 0)


async def test_task_outlives_the_proxy_replica_it_used(
    kube_api: KubeForTests, test_database: DatabaseForTest, tmp_path: Path
) -> None:
    with running(tmp_path / "world", test_database, replicas=1) as plane:
        url = plane.replicas[0].api.url
        async with world(kube_api, tmp_path, url) as here, asyncio.TaskGroup() as tasks:
            pod = await here.pod(_RUN)
            async with here.second(url) as first:
                port = first.proxy.port
                run = tasks.create_task(_run(plane, first, pod, "patient"))
                await until(lambda: first.proxy.counts.streams == 1, seconds=60)
            (plane.home / "go").touch()  # what is waited for happens while nobody is there
            async with here.second(url, port=port) as then:
                assert "outputs [14]" in await run
                assert then.proxy.counts.calls["flyteidl2.actions.ActionsService/WatchForUpdates"]


async def test_task_starts_another_run_and_waits_for_it(
    kube_api: KubeForTests, test_database: DatabaseForTest, tmp_path: Path
) -> None:
    with running(tmp_path / "world", test_database, replicas=1) as plane:
        async with world(kube_api, tmp_path, plane.replicas[0].api.url) as here:
            output = await _run(plane, here, await here.pod(_RUN), "starts")
            assert "outputs [42]" in output


async def _run(plane: World, here: Proxies, pod: Pod, task: str) -> str:
    """Run a task of the workflow, whose pod calls this proxy; return what was printed."""
    address = here.url.removeprefix("https://")
    token = here.home / "token-of-the-pod"
    token.write_text(f"{pod.token}\n")
    places = {pod_identity.TOKEN_FILE: str(token), pod_identity.CA_FILE: str(here.ca_file)}
    environment = {"GO": str(plane.home / "go")}
    for name, value in proxy_environment(address).items():
        for place, real in places.items():
            value = value.replace(place, real)  # noqa: PLW2901
        environment[name] = value
    agent = _agent(plane, address)
    agent.start()
    try:
        return await _start(here.home, plane.replicas[0].api.url, environment, task)
    finally:
        agent.end()


async def _start(home: Path, url: str, environment: Mapping[str, str], task: str) -> str:
    (home / "workflow.py").write_text(_WORKFLOW)
    command = [sys.executable, "workflow.py", url.removeprefix("http://")]
    process = await asyncio.create_subprocess_exec(
        *(*command, json.dumps(environment), task),
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
    output = out.decode()
    require_success(process.returncode, output)
    return output


def _agent(plane: World, endpoint: str) -> Program:
    """Make an agent whose tasks take the proxy for the control plane."""
    token = plane.home / "token"
    token.write_text(TOKEN)
    command = [
        *(sys.executable, "-m", "dataplane.agent", "run", "--token-file", str(token)),
        *("--control-plane", plane.replicas[0].link, "--data-dir", str(plane.home / "agent")),
        *("--public-endpoint", endpoint, "--log-level", "debug"),
    ]
    return Program("agent", command, logs=plane.home, environment=context(plane.home))
