"""Commands of ``volary queue``: list, set and delete queues."""

import click

from controlplane.cli.operations import CommandContext, with_context
from controlplane.cli.tables import table
from controlplane.core.queues import QueueChange, QueueStatus

_LIMIT = click.IntRange(min=0)


@click.group()
def queue() -> None:
    """Configure queues: the pool that serves each, its priority and its limits."""


@queue.command("list")
@with_context
def list_(context: CommandContext) -> None:
    """List the queues; 0 is no limit."""
    from controlplane.cli import operators  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        found, _ = await operator.queues.list(operator.caller, limit=1000)
        context.answer(found, _table(*found))

    operators.run(context, work)


@queue.command("set")
@click.argument("name")
@click.option("--pool", help="Pool whose clusters serve the queue; see volary cluster move.")
@click.option("--priority", type=int, help="Queues with a larger priority go first.")
@click.option("--depth", type=_LIMIT, help="Most actions that may wait; 0: no limit.")
@click.option("--run-concurrency", type=_LIMIT, help="Most runs in progress; 0: no limit.")
@click.option("--action-concurrency", type=_LIMIT, help="Most actions in progress; 0: no limit.")
@with_context
def set_(
    context: CommandContext,
    name: str,
    *,
    pool: str | None,
    priority: int | None,
    depth: int | None,
    run_concurrency: int | None,
    action_concurrency: int | None,
) -> None:
    """Create a queue, or change the given settings; they apply to waiting actions too."""
    from controlplane.cli import operators  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        status = await operator.queues.set(
            operator.caller,
            name,
            QueueChange(
                pool=pool,
                priority=priority,
                depth=depth,
                run_concurrency=run_concurrency,
                action_concurrency=action_concurrency,
            ),
        )
        context.answer(status, _table(status))
        if not status.clusters:
            pool_text = f"pool {status.queue.pool}" if status.queue.pool else "the default pool"
            click.echo(
                f"No cluster serves {pool_text}: actions of this queue wait until one does.",
                err=True,
            )

    operators.run(context, work)


@queue.command()
@click.argument("name")
@click.option(
    "--move-to", help='Queue to move its runs and waiting actions to; "" is the default queue.'
)
@with_context
def delete(context: CommandContext, name: str, *, move_to: str | None) -> None:
    """Delete a queue; one in use needs --move-to."""
    from controlplane.cli import operators  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        await operator.queues.delete(operator.caller, name, move_to=move_to)
        context.answer({"deleted": name}, [f"Queue {name} is deleted."])

    operators.run(context, work)


def _table(*found: QueueStatus) -> "list[str]":
    return list(
        table(
            (
                *("QUEUE", "POOL", "PRIORITY", "WAITING", "DEPTH", "RUNS", "RUN LIMIT"),
                *("ACTIONS", "ACTION LIMIT"),
            ),
            [
                (
                    *(each.queue.name, each.queue.pool or "-", each.queue.priority),
                    *(each.waiting, each.queue.depth, each.runs, each.queue.run_concurrency),
                    *(each.leased, each.queue.action_concurrency),
                )
                for each in found
            ],
        )
    )
