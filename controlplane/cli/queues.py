"""Commands of ``volary queue``: list, show, set and delete queues."""

from collections.abc import Sequence

import click

from controlplane.cli.calls import Column, Platform, read, with_platform
from controlplane.cli.tables import table
from controlplane.client.calls import Message
from controlplane.client.errors import CallRefusedError

_LIMIT = click.IntRange(min=0)
_COLUMNS: Sequence[Column] = (
    ("QUEUE", read("name")),
    ("POOL", read("pool")),
    ("PRIORITY", read("priority", 0)),
    ("WAITING", read("load.waiting", 0)),
    ("DEPTH", read("depth", 0)),
    ("RUNS", read("load.runs", 0)),
    ("RUN LIMIT", read("runConcurrency", 0)),
    ("ACTIONS", read("load.actions", 0)),
    ("ACTION LIMIT", read("actionConcurrency", 0)),
)


@click.group()
def queue() -> None:
    """Configure queues: the pool that serves each, its priority and its limits."""


@queue.command("list")
@with_platform
def list_(platform: Platform) -> None:
    """List the queues; 0 is no limit."""
    platform.list("QueueService/ListQueues", "queues", _COLUMNS)


@queue.command()
@click.argument("name")
@with_platform
def show(platform: Platform, name: str) -> None:
    """Show a queue."""
    answer = platform.call("QueueService/GetQueue", name=name)
    platform.answer(answer, _table(answer["queue"]))


@queue.command("set")
@click.argument("name")
@click.option("--pool", help="Pool whose clusters serve the queue; see volary cluster move.")
@click.option("--priority", type=int, help="Queues with a larger priority go first.")
@click.option("--depth", type=_LIMIT, help="Most actions that may wait; 0: no limit.")
@click.option("--run-concurrency", type=_LIMIT, help="Most runs in progress; 0: no limit.")
@click.option("--action-concurrency", type=_LIMIT, help="Most actions in progress; 0: no limit.")
@with_platform
def set_(
    platform: Platform,
    name: str,
    *,
    pool: str | None,
    priority: int | None,
    depth: int | None,
    run_concurrency: int | None,
    action_concurrency: int | None,
) -> None:
    """Create a queue, or change the given settings; they apply to waiting actions too."""
    given = {
        "pool": pool,
        "priority": priority,
        "depth": depth,
        "runConcurrency": run_concurrency,
        "actionConcurrency": action_concurrency,
    }
    changed = {field: value for field, value in given.items() if value is not None}
    if changed:
        answer = platform.call(
            "QueueService/UpdateQueue",
            queue={"name": name, **changed},
            updateMask=",".join(changed),
            allowMissing=True,
        )
    else:
        answer = _get_or_create(platform, name)
    found = answer["queue"]
    platform.answer(answer, _table(found))
    if not found.get("load", {}).get("clusters", 0):
        served = f"pool {found['pool']}" if found.get("pool") else "the default pool"
        click.echo(
            f"No cluster serves {served}: actions of this queue wait until one does.", err=True
        )


@queue.command()
@click.argument("name")
@click.option(
    "--move-to", help='Queue to move its runs and waiting actions to; "" is the default queue.'
)
@with_platform
def delete(platform: Platform, name: str, *, move_to: str | None) -> None:
    """Delete a queue; one in use needs --move-to."""
    answer = platform.call("QueueService/DeleteQueue", name=name, moveTo=move_to)
    platform.answer(answer, [f"Queue {name} is deleted."])


def _get_or_create(platform: Platform, name: str) -> Message:
    try:
        return platform.call("QueueService/GetQueue", name=name)
    except CallRefusedError as error:
        if error.code != "not_found":
            raise
    return platform.call("QueueService/CreateQueue", queue={"name": name})


def _table(found: Message) -> list[str]:
    titles = [title for title, _ in _COLUMNS]
    return list(table(titles, [[of(found) for _, of in _COLUMNS]]))
