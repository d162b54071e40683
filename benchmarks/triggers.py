"""
Measures how late scheduled runs are created: many triggers, of which some are due in each second.

The triggers are deployed with tasks, as `flyte deploy` does. Each run's creation is compared with its
scheduled instant, as the database has both. The runs wait in a queue that no cluster serves.
"""

import argparse
import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
from flyteidl2.task.common_pb2 import TriggerAutomationSpecType
from flyteidl2.task.task_definition_pb2 import TaskTrigger
from flyteidl2.task.task_service_connect import TaskServiceClient
from flyteidl2.task.task_service_pb2 import DeployTaskRequest

from benchmarks.stack import Stack, percentile, running_stack, table

OF_A_TASK = 50
QUEUE = "unserved"
_NEVER = datetime(2099, 1, 1, tzinfo=UTC)


def make_trigger(number: int, start: datetime) -> TaskTrigger:
    trigger = TaskTrigger(name=f"t{number}")
    trigger.spec.active = True
    trigger.spec.inputs.SetInParent()
    trigger.spec.run_spec.queue = QUEUE
    trigger.automation_spec.type = TriggerAutomationSpecType.TYPE_SCHEDULE
    rate = trigger.automation_spec.schedule.rate
    rate.value, rate.unit = 24 * 60, 1
    rate.start_time.FromDatetime(start)
    return trigger


def make_task(number: int, starts: Sequence[datetime]) -> DeployTaskRequest:
    request = DeployTaskRequest(
        triggers=[make_trigger(each, start) for each, start in enumerate(starts)]
    )
    identifier = request.task_id
    identifier.project, identifier.domain = "flytesnacks", "development"
    identifier.name, identifier.version = f"bench.t{number}", "v1"
    template = request.spec.task_template
    template.id.project, template.id.domain = identifier.project, identifier.domain
    template.id.name, template.id.version = identifier.name, identifier.version
    template.type = "python"
    template.container.image = "image"
    template.container.args.append("a0")
    return request


async def deploy(client: TaskServiceClient, first: int, starts: Sequence[datetime]) -> None:
    """Deploy a trigger for each start, OF_A_TASK with each task."""
    for at in range(0, len(starts), OF_A_TASK):
        part = starts[at : at + OF_A_TASK]
        await client.deploy_task(make_task(first + at // OF_A_TASK, part))


async def measure(stack: Stack, options: argparse.Namespace) -> None:
    due = options.rate * options.seconds
    client = TaskServiceClient(f"http://{stack.endpoint}")
    connection = await asyncpg.connect(stack.superuser_url)
    try:
        await connection.execute(
            "INSERT INTO queues (org, queue, pool, created_at)"
            " SELECT org, $1, 'nowhere', now() FROM orgs",
            QUEUE,
        )
        await deploy(client, 0, [_NEVER] * (options.triggers - due))
        begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=options.lead)
        starts = [begin + timedelta(seconds=at // options.rate) for at in range(due)]
        await deploy(client, 10_000, starts)
        deployed_in_time = datetime.now(UTC) < begin
        while await connection.fetchval("SELECT count(*) FROM runs") < due:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
        rows = await connection.fetch("SELECT created_at - started_at AS lag FROM runs")
    finally:
        await connection.close()
    if not deployed_in_time:
        raise RuntimeError("the triggers were deployed after their first instant: raise --lead")
    lags = [1000 * row["lag"].total_seconds() for row in rows]
    title = f"Scheduled runs: {options.triggers} triggers, {options.rate} due at each second"
    with table(title, "measure", "value") as shown:
        shown.add_row("runs", f"{len(lags)}")
        for share in (0.5, 0.99):
            shown.add_row(f"lag p{100 * share:.0f} ms", f"{percentile(lags, share):.0f}")
        shown.add_row("lag, most, ms", f"{max(lags):.0f}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triggers", type=int, default=10_000)
    parser.add_argument(
        "--rate", type=int, default=100, help="triggers that are due at each second"
    )
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--lead", type=int, default=30, help="seconds to deploy the due ones in")
    options = parser.parse_args()
    async with running_stack() as stack:
        await measure(stack, options)


if __name__ == "__main__":
    asyncio.run(main())
