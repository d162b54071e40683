"""
Features that need a Kubernetes cluster: container tasks, secrets, retries in new pods.

    kubectl -n flytesnacks-development create secret generic examples --from-literal greeting=Hi
    flyte run examples/cluster.py main --words 40

Each task runs in its own pod. `count` is a shell command in a public image without Flyte: its
input is a file, its output is a file. `flaky` fails at first and is retried in a new pod.
`endless` is cancelled by its parent, which deletes its pod.
"""

import asyncio
import os

import flyte
import flyte.report
from flyte.extras import ContainerTask

count = ContainerTask(
    name="count",
    image="docker.io/library/python:3.12-slim",
    inputs={"words": str},
    outputs={"total": int},
    command=["/bin/sh", "-c", "wc -w < /var/inputs/words > /var/outputs/total"],
    resources=flyte.Resources(cpu="100m", memory="64Mi"),
)

env = flyte.TaskEnvironment(
    name="cluster",
    resources=flyte.Resources(cpu="100m", memory="512Mi"),
    secrets=[flyte.Secret(key="greeting", group="examples", as_env_var="GREETING")],
    depends_on=[flyte.TaskEnvironment.from_task("counting", count)],
)


@env.task
async def double(number: int) -> int:
    return 2 * number


@env.task(retries=1)
async def flaky() -> int:
    attempt = int(os.environ.get("FLYTE_ATTEMPT_NUMBER", "0"))  # counts from 0
    if attempt == 0:
        os._exit(3)  # no exception: the container exits
    return attempt


@env.task
async def endless() -> None:
    await asyncio.Event().wait()


@env.task(report=True)
async def main(words: int = 40) -> str:
    async with asyncio.TaskGroup() as tasks:
        unwanted = tasks.create_task(endless())
        with flyte.group("numbers"):
            numbers = await asyncio.gather(*(double(number) for number in range(3)))
        counted = await count(words=" ".join(["word"] * words))
        attempt = await flaky()
        unwanted.cancel()
    found = f"{os.environ['GREETING']}! {sum(numbers)}, {counted} words, attempt {attempt}"
    await flyte.report.replace.aio(f"<h1>{found}</h1>", do_flush=True)
    return found
