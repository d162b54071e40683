"""Commands after a restore: what was found of running work, and letting clusters work again."""

from collections.abc import Sequence

import click

from controlplane.cli.backups import database_url, open_blobs, owner_url
from controlplane.cli.operations import CommandContext, with_context
from controlplane.cli.user_errors import user_errors

_WHY = "to take the results in the bucket; or give --rerun, to run again what has ended since the backup"


@click.group()
def restored() -> None:
    """See and release clusters after the database was restored from a backup; for operators."""


@restored.command()
@with_context
def show(context: CommandContext) -> None:
    """List the clusters of --org that lease no work yet, and what was found of attempts."""
    from controlplane.cli import operators  # noqa: PLC0415
    from controlplane.core.restores import Finding  # noqa: PLC0415
    from controlplane.usecases.restores import Restores  # noqa: PLC0415

    def describe(finding: Finding) -> str:
        action = finding.action or f"action {finding.attempt.action}, which the copy does not have"
        where = f"attempt {finding.attempt.number} on {finding.cluster}"
        return f"{finding.kind.value:<9} {where}: {action}"

    async def work(operator: operators.Operator) -> None:
        report = await Restores(operator.database, operator.clock, None).report(operator.caller.org)
        lines = [
            f"{each.name:<24} {each.leased} leases, "
            + ("its agent has reported" if each.reconciled_at else "its agent has not reported yet")
            for each in report.clusters
        ]
        if not lines:
            lines = ["Every cluster may lease work."]
        lines += [describe(each) for each in report.findings]
        if not report.is_complete:
            lines.append("… and more")
        context.answer(report, lines)

    operators.run(context, work)


@restored.command()
@click.option(
    "--without",
    "without",
    multiple=True,
    metavar="CLUSTER",
    help="Do not wait for this cluster, whose agent will not come back; may be repeated.",
)
@click.option(
    "--rerun",
    is_flag=True,
    help="Do not read the bucket: run again what has ended since the backup.",
)
@with_context
def release(context: CommandContext, *, without: Sequence[str], rerun: bool) -> None:
    """
    Let the clusters of --org lease work again, once all their agents have reported.

    Actions whose outputs lie in the bucket (VOLARY_BLOB_BASE) succeed with them first, and do not
    run again.
    """
    from controlplane.cli import operators  # noqa: PLC0415
    from controlplane.usecases.restores import Restores  # noqa: PLC0415
    from shared.model.ids import ClusterName  # noqa: PLC0415

    blobs = None if rerun else open_blobs(_WHY)

    async def work(operator: operators.Operator) -> None:
        restores = Restores(operator.database, operator.clock, blobs)
        finished, released = await restores.release(
            operator.caller.org, without=[ClusterName(name) for name in without]
        )
        lines = [
            f"{finished} actions have succeeded by results in the bucket.",
            f"Released: {', '.join(sorted(released)) or 'no cluster, none was waiting'}.",
        ]
        context.answer({"finished": finished, "released": sorted(released)}, lines)

    operators.run(context, work)


@restored.command()
@click.option(
    "--taken-at",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ"]),
    required=True,
    help="The moment that the database shows, in UTC.",
)
@database_url
def mark(taken_at: "object", database_url: str) -> None:
    """
    Mark a database that something else than `volary restore` has restored to an earlier moment.

    Run it before any replica serves from that database: point-in-time recovery and snapshots of a
    provider do not say to the database that it is a copy.
    """
    import asyncio  # noqa: PLC0415
    from datetime import UTC, datetime  # noqa: PLC0415

    from controlplane.usecases.backups import mark_restored  # noqa: PLC0415

    if not isinstance(taken_at, datetime):
        raise click.UsageError("--taken-at is no time")
    moment = taken_at.replace(tzinfo=UTC)
    with user_errors():
        asyncio.run(mark_restored(owner_url(database_url, None), moment))
    click.echo(f"The database is marked as a copy of {moment.isoformat()}.")
