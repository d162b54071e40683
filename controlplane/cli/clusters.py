"""Commands of ``volary cluster`` and ``volary pool``: list, show, cordon, move and drain."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import click

from controlplane.cli.calls import Column, Platform, read, time_of, with_platform, yes
from controlplane.cli.enrolments import COMMANDS
from controlplane.cli.operations import Duration
from controlplane.cli.tables import render_fields, span, table
from controlplane.client.calls import Message
from controlplane.client.errors import CallRefusedError, ClientError

NOT_EMPTY = 3
"""Exit code of a drain whose deadline passed before the cluster was empty."""

_NAME = click.argument("name")
_COLUMNS: Sequence[Column] = (
    ("CLUSTER", read("name")),
    ("POOL", read("pool")),
    ("STATE", read("state")),
    ("CONNECTED", read("connected", default=False)),
    ("LAST SEEN", time_of("seenAt")),
    ("LEASED", read("load.leased", 0)),
    ("RUNNING", read("load.running", 0)),
    ("FREE", read("load.slots", 0)),
    ("CLONED", time_of("clonedAt")),
)


@click.group()
def cluster() -> None:
    """Create clusters and admit their agents; take clusters out of service and put them back."""


for each in COMMANDS:
    cluster.add_command(each)


@click.group()
def pool() -> None:
    """List the pools that clusters and queues name."""


@pool.command("list")
@with_platform
def list_pools(platform: Platform) -> None:
    """List the pools; the default pool, which needs no name, comes first."""
    columns: Sequence[Column] = (
        ("POOL", read("name", "(default)")),
        ("CLUSTERS", read("clusters", 0)),
        ("READY", read("readyClusters", 0)),
        ("QUEUES", read("queues", 0)),
    )
    platform.list("PoolService/ListPools", "pools", columns)


@cluster.command("list")
@with_platform
def list_(platform: Platform) -> None:
    """List the clusters, with their state, connection and load."""
    platform.list("ClusterService/ListClusters", "clusters", _COLUMNS)


@cluster.command()
@_NAME
@with_platform
def show(platform: Platform, name: str) -> None:
    """Show everything about one cluster: its agent, its session, its load."""
    answer = platform.call("ClusterService/GetCluster", name=name)
    found = answer["cluster"]
    agent, load = found.get("agent", {}), found.get("load", {})
    counted = "countedAt" in load
    platform.answer(
        answer,
        [
            *render_fields(
                {
                    "cluster": found["name"],
                    "pool": found.get("pool"),
                    "state": found["state"],
                    "draining since": time_of("drainingSince")(found),
                    "connected": found.get("connected", False),
                    "last seen": time_of("seenAt")(found),
                    "session": f"epoch {found.get('epoch', 0)}",
                    "session began": time_of("connectedAt")(found),
                    "agent": agent.get("software"),
                    "version skew": agent.get("versionSkew"),
                    "installation": agent.get("agentId"),
                    "instance": agent.get("instanceId"),
                    "protocol": agent.get("protocol"),
                    "runs": ", ".join(agent.get("capabilities", ())) or None,
                    "leased": f"{load.get('leased', 0)} ({load.get('unaccepted', 0)} not accepted yet)",
                    "agent holds": load.get("held", 0) if counted else "not reported yet",
                    "agent runs": load.get("running", 0) if counted else "not reported yet",
                    "free slots": load.get("slots", 0),
                    "version": found["version"],
                    "cloned identity": time_of("clonedAt")(found),
                    "clone": found.get("cloned"),
                }
            ),
            *_render_findings(answer.get("findings", {})),
        ],
    )


def _render_findings(findings: Message) -> Sequence[str]:
    """Return a line for each finding of the agent's checks, and one for each remedy."""
    if not findings:
        return ["", "The agent has reported no findings."]
    lines = ["", f"Findings since {time_of('checkedAt')(findings)}:"]
    for each in findings.get("findings", ()):
        lines.append(f"{each['outcome']:<8} {each['about']}: {each['text']}")
        if "remedy" in each:
            lines.append(f"{'':<8} → {each['remedy']}")
    return lines if len(lines) > 2 else [*lines, "none"]


@cluster.command()
@_NAME
@with_platform
def cordon(platform: Platform, name: str) -> None:
    """Assign no more work to a cluster; it keeps the attempts it has."""
    answer = _update(platform, name, "cordoned", cordoned=True)
    leased = answer["cluster"].get("load", {}).get("leased", 0)
    held = f"{leased or 'no'} attempt{'' if leased == 1 else 's'}"
    platform.answer(answer, [f"{name} is cordoned; it holds {held}."])


@cluster.command()
@_NAME
@with_platform
def uncordon(platform: Platform, name: str) -> None:
    """Assign work to a cluster again, whether it was cordoned or drained."""
    answer = _update(platform, name, "cordoned", cordoned=False)
    platform.answer(answer, [f"{name} takes work again."])


@cluster.command()
@_NAME
@click.option("--pool", required=True, help='Name of the pool; "" is the default pool.')
@with_platform
def move(platform: Platform, name: str, pool: str) -> None:
    """Move a cluster to another pool, whose queues it then serves; it keeps the attempts it has."""
    answer = _update(platform, name, "pool", pool=pool)
    platform.answer(answer, [f"{name} serves {f'pool {pool}' if pool else 'the default pool'}."])


def _update(platform: Platform, name: str, mask: str, **settings: object) -> Message:
    return platform.call(
        "ClusterService/UpdateCluster", cluster={"name": name, **settings}, updateMask=mask
    )


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
@with_platform
def drain(
    platform: Platform, name: str, *, wait: bool, deadline: timedelta | None, stop_rest: bool
) -> None:
    """
    Assign no more work, take back attempts that are not accepted yet, and list the rest.

    A cluster is empty when the control plane, the agent and its runtimes all count zero.
    """
    stop_now = stop_rest and deadline is None
    answer = platform.call("ClusterService/DrainCluster", name=name, stopAttempts=stop_now)
    if not (wait or deadline is not None):
        platform.answer(answer, _progress(answer["drain"]))
        return
    for latest in _watch(platform, name, deadline, stop_at_deadline=stop_rest and not stop_now):
        answer = latest
    found = answer["drain"]
    platform.answer(answer, _attest(found) if "attestation" in found else _progress(found))
    if deadline is not None and "attestation" not in found:
        click.echo(f"Error: {name} is not empty after {span(deadline)}.", err=True)
        raise SystemExit(NOT_EMPTY)


@cluster.command()
@_NAME
@yes
@with_platform
def delete(platform: Platform, name: str) -> None:
    """Delete a cluster that is empty, with its agent's certificates and join tokens."""
    platform.confirm(f"The agent of {name} is refused from then on. Delete the cluster?")
    answer = platform.call("ClusterService/DeleteCluster", name=name)
    platform.answer(answer, [f"{name} is deleted; its agent is refused."])


def _watch(
    platform: Platform, name: str, deadline: timedelta | None, *, stop_at_deadline: bool
) -> Iterable[Any]:
    """Yield the progress of a drain, and print it when it changes."""
    printed = ""
    request: dict[str, object] = {"name": name, "stopAttempts": stop_at_deadline}
    if deadline is not None:
        request["deadline"] = f"{int(deadline.total_seconds())}s"
    seen = False
    try:
        for answer in platform.stream("ClusterService/WatchDrain", **request):
            counts = _counts(answer["drain"]["cluster"])
            if counts != printed:
                click.echo(counts, err=True)
                printed = counts
            seen = True
            yield answer
    except CallRefusedError as error:
        if error.code != "unavailable" or not seen:
            raise
        raise ClientError(
            f"the control plane stopped telling ({error}). {name} is being drained all the while; "
            "repeat the command to go on waiting"
        ) from error


def _counts(found: Message) -> str:
    load = found.get("load", {})
    leased = load.get("leased", 0)
    if not found.get("connected", False):
        return f"{found['name']}: {leased} leased; its agent is not connected"
    counts = f"{load.get('held', 0)} held, {load.get('running', 0)} running"
    reported = counts if "countedAt" in load else "nothing yet"
    return f"{found['name']}: {leased} leased; its agent reports: {reported}"


def _progress(found: Message) -> Iterable[str]:
    status = found["cluster"]
    yield f"{status['name']} has been draining since {time_of('drainingSince')(status)}."
    yield _counts(status)
    remaining = found.get("remaining", ())
    if not remaining:
        return
    yield ""
    yield from table(
        ("RUN", "ACTION", "ATTEMPT", "PHASE", "SINCE", ""),
        [
            (
                f"{each['project']}/{each['domain']}/{each['run']}",
                each["action"],
                each["attempt"],
                each["phase"],
                time_of("leasedAt")(each),
                "stopping" if each.get("stopReason") else "",
            )
            for each in remaining
        ],
    )
    more = status.get("load", {}).get("leased", 0) - len(remaining)
    if more > 0:
        yield f"… and {more} more"


def _attest(found: Message) -> Iterable[str]:
    attestation = found["attestation"]
    yield f"{attestation['cluster']} is empty."
    yield from render_fields(
        {
            "leased by the control plane": 0,
            "held by the agent": 0,
            "run by its runtimes": 0,
            "agent": attestation.get("agentId"),
            "instance": attestation.get("instanceId"),
            "session epoch": attestation.get("epoch"),
            "draining since": time_of("drainingSince")(attestation),
            "agent's counts of": time_of("countedAt")(attestation),
            "attested at": time_of("attestedAt")(attestation),
        }
    )
