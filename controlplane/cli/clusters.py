"""Commands of ``volary cluster``: list, show, cordon, uncordon, move and drain clusters."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

import click

from controlplane.cli.operations import CommandContext, Duration, with_context
from controlplane.cli.tables import ago, render_fields, span, table
from controlplane.core.clusters import Attestation, ClusterStatus, LeasedAttempt
from shared.model.ids import ClusterName

NOT_EMPTY = 3
"""Exit code of a drain whose deadline passed before the cluster was empty."""

_NAME = click.argument("name")


@click.group()
def cluster() -> None:
    """List clusters; take them out of service and put them back."""


@cluster.command("list")
@with_context
def list_(context: CommandContext) -> None:
    """List the clusters, with their state, connection and load."""
    from controlplane.cli import operators  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        found, _ = await operator.clusters.list(operator.caller, limit=1000)
        now = operator.clock.now()
        context.answer(
            found,
            table(
                ("CLUSTER", "POOL", "STATE", "CONNECTED", "LAST SEEN", "LEASED", "RUNNING", "FREE"),
                [
                    (
                        *(each.name, each.pool or "-", each.standing, each.connected),
                        *(ago(each.seen_at, now), each.leased),
                        *(each.load.running, each.load.slots),
                    )
                    for each in found
                ],
            ),
        )

    operators.run(context, work)


@cluster.command()
@_NAME
@with_context
def show(context: CommandContext, name: str) -> None:
    """Show everything about one cluster: its agent, its session, its load."""
    from controlplane.cli import operators  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        status = await operator.clusters.get(operator.caller, ClusterName(name))
        now = operator.clock.now()
        load, agent = status.load, status.agent
        context.answer(
            status,
            render_fields(
                {
                    "cluster": status.name,
                    "pool": status.pool or None,
                    "state": status.standing,
                    "draining since": status.draining_since,
                    "connected": status.connected,
                    "last seen": ago(status.seen_at, now),
                    "session": f"epoch {status.epoch}, began {ago(status.connected_at, now)}",
                    "agent": agent.software or None,
                    "installation": agent.agent_id or None,
                    "instance": agent.instance_id or None,
                    "protocol": agent.protocol or None,
                    "runs": ", ".join(agent.capabilities) or None,
                    "leased": f"{status.leased} ({status.unaccepted} not accepted yet)",
                    "agent holds": load.held if load.counted_at else "not reported yet",
                    "agent runs": load.running if load.counted_at else "not reported yet",
                    "free slots": load.slots,
                    "desired version": status.spec_version,
                }
            ),
        )

    operators.run(context, work)


@cluster.command()
@_NAME
@with_context
def cordon(context: CommandContext, name: str) -> None:
    """Assign no more work to a cluster; it keeps the attempts it has."""
    from controlplane.cli import operators  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        status = await operator.clusters.cordon(operator.caller, ClusterName(name))
        context.answer(status, [f"{name} is cordoned; it holds {_attempts(status.leased)}."])

    operators.run(context, work)


@cluster.command()
@_NAME
@with_context
def uncordon(context: CommandContext, name: str) -> None:
    """Assign work to a cluster again, whether it was cordoned or drained."""
    from controlplane.cli import operators  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        status = await operator.clusters.uncordon(operator.caller, ClusterName(name))
        context.answer(status, [f"{name} takes work again."])

    operators.run(context, work)


@cluster.command()
@_NAME
@click.option("--pool", required=True, help='Name of the pool; "" is the default pool.')
@with_context
def move(context: CommandContext, name: str, pool: str) -> None:
    """Move a cluster to another pool, whose queues it then serves; it keeps the attempts it has."""
    from controlplane.cli import operators  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        status = await operator.clusters.move(operator.caller, ClusterName(name), pool)
        context.answer(status, [f"{name} serves {f'pool {pool}' if pool else 'the default pool'}."])

    operators.run(context, work)


@cluster.command()
@_NAME
@click.option("--wait", is_flag=True, help="Wait until it is empty, and print an attestation.")
@click.option(
    "--deadline",
    type=Duration(),
    help=f"Wait at most this long; then exit with {NOT_EMPTY}.  e.g. 10m",
)
@click.option(
    "--stop-rest",
    is_flag=True,
    help="Stop the remaining attempts (at the deadline, if set); they restart on other clusters.",
)
@with_context
def drain(
    context: CommandContext, name: str, *, wait: bool, deadline: timedelta | None, stop_rest: bool
) -> None:
    """
    Assign no more work, take back attempts that are not accepted yet, and list the rest.

    A cluster is empty when the control plane, the agent and its runtimes all count zero.
    """
    from controlplane.cli import operators  # noqa: PLC0415
    from controlplane.usecases.clusters import Draining  # noqa: PLC0415

    async def work(operator: operators.Operator) -> Draining:
        cluster_name = ClusterName(name)
        found = await operator.clusters.drain(operator.caller, cluster_name)
        if stop_rest and deadline is None:
            found = await operator.clusters.stop_rest(operator.caller, cluster_name)
        if not (wait or deadline is not None):
            context.answer(found, _progress(found.status, found.remaining))
            return found
        printed = ""
        async for found in operator.clusters.watch_drain(  # keeps the latest
            operator.caller,
            cluster_name,
            deadline=deadline,
            stop_rest=stop_rest and deadline is not None,
        ):
            counts = _counts(found.status)
            if counts != printed:
                click.echo(counts, err=True)
                printed = counts
        if found.attestation is not None:
            context.answer(found.attestation, _attest(found.attestation))
        else:
            context.answer(found, _progress(found.status, found.remaining))
        return found

    found = operators.run(context, work)
    if deadline is not None and found.attestation is None:
        click.echo(f"Error: {name} is not empty after {span(deadline)}.", err=True)
        raise SystemExit(NOT_EMPTY)


def _counts(status: ClusterStatus) -> str:
    if not status.connected:
        return f"{status.name}: {status.leased} leased; its agent is not connected"
    load = status.load
    reported = f"{load.held} held, {load.running} running" if load.counted_at else "nothing yet"
    return f"{status.name}: {status.leased} leased; its agent reports: {reported}"


def _progress(status: ClusterStatus, remaining: Sequence[LeasedAttempt]) -> Iterable[str]:
    yield f"{status.name} has been draining since {status.draining_since:%Y-%m-%d %H:%M:%S} UTC."
    yield _counts(status)
    if not remaining:
        return
    yield ""
    yield from table(
        ("RUN", "ACTION", "ATTEMPT", "PHASE", "SINCE", ""),
        [
            (
                *(each.action.run, each.action.name, each.number),
                *(each.phase.name.lower(), each.leased_at),
                "stopping" if each.stop_reason is not None else "",
            )
            for each in remaining
        ],
    )
    if len(remaining) < status.leased:
        yield f"… and {status.leased - len(remaining)} more"


def _attest(attestation: Attestation) -> Iterable[str]:
    yield f"{attestation.cluster} is empty."
    yield from render_fields(
        {
            "leased by the control plane": attestation.leased,
            "held by the agent": attestation.held,
            "run by its runtimes": attestation.running,
            "agent": attestation.agent_id or None,
            "instance": attestation.instance_id or None,
            "session epoch": attestation.epoch,
            "draining since": attestation.draining_since,
            "agent's counts of": attestation.counted_at,
            "attested at": attestation.attested_at,
        }
    )


def _attempts(count: int) -> str:
    return f"{count} attempt" if count == 1 else f"{count or 'no'} attempts"
