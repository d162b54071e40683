"""Commands of ``volary cluster`` for the identity of agents: create, join-token, accept, revoke."""

from collections.abc import Iterable, Sequence

import click

from controlplane.cli.calls import Column, Platform, read, time_of, with_platform, yes
from controlplane.client.calls import Message

_NAME = click.argument("name")
_AUTO_ACCEPT = click.option(
    "--auto-accept",
    is_flag=True,
    help="Accept the agent that uses the token first, without volary cluster accept.",
)
_COLUMNS: Sequence[Column] = (
    ("CLUSTER", read("cluster")),
    ("STATE", read("state")),
    ("KEY", read("key")),
    ("FROM", read("peer")),
    ("AGENT", read("software")),
    ("CREATED", time_of("createdAt")),
    ("EXPIRES", time_of("expiresAt")),
)


@click.command()
@_NAME
@click.option("--pool", default="", help="Pool of the cluster.  [default: the default pool]")
@_AUTO_ACCEPT
@with_platform
def create(platform: Platform, name: str, *, pool: str, auto_accept: bool) -> None:
    """Create a cluster, and print a join token for its agent: it works once, for 15 minutes."""
    answer = platform.create(
        "EnrolmentService/CreateCluster", name=name, pool=pool, autoAccept=auto_accept
    )
    platform.answer(answer, _token(answer))


@click.command("join-token")
@_NAME
@_AUTO_ACCEPT
@with_platform
def join_token(platform: Platform, name: str, *, auto_accept: bool) -> None:
    """
    Print a join token for the agent of an existing cluster.

    For an agent that lost its key, was off for too long, or was revoked. The cluster's present
    agent goes on until the new one is accepted, and is revoked then.
    """
    answer = platform.create(
        "EnrolmentService/CreateJoinToken", cluster=name, autoAccept=auto_accept
    )
    platform.answer(answer, _token(answer))


@click.command("enrolments")
@click.argument("name", required=False, default="")
@with_platform
def list_enrolments(platform: Platform, name: str) -> None:
    """List join tokens, agents that wait, and accepted agents, of a cluster or of all."""
    platform.list("EnrolmentService/ListEnrolments", "enrolments", _COLUMNS, cluster=name)


@click.command()
@_NAME
@click.option("--key", default="", help="Fingerprint that the agent logs, as in SHA256:…")
@with_platform
def accept(platform: Platform, name: str, *, key: str) -> None:
    """Accept the agent that waits for a cluster; compare its key with the one in the agent's log."""
    answer = platform.call("EnrolmentService/AcceptEnrolment", cluster=name, key=key)
    accepted = answer["enrolment"]
    platform.answer(answer, [f"The agent of {name} with the key {accepted['key']} is accepted."])


@click.command()
@_NAME
@yes
@with_platform
def revoke(platform: Platform, name: str) -> None:
    """Revoke the identity of a cluster's agent: its session ends at once."""
    platform.confirm(f"The agent of {name} stops working until it enrols again. Revoke it?")
    answer = platform.call("EnrolmentService/RevokeAgent", cluster=name)
    count = answer.get("certificates", 0)
    platform.answer(
        answer, [f"The identity of {name} is revoked; {count or 'no'} certificates were valid."]
    )


COMMANDS = (create, join_token, list_enrolments, accept, revoke)
"""To be added to ``volary cluster``."""


def _token(answer: Message) -> Iterable[str]:
    enrolment = answer["enrolment"]
    until = time_of("expiresAt")(enrolment)
    yield f"Join token of {enrolment['cluster']}, for one agent, until {until}:"
    yield answer.get("joinToken") or "(its answer was lost; run volary cluster join-token)"
    if not enrolment.get("autoAccept"):
        yield f"Then accept its agent: volary cluster accept {enrolment['cluster']}"
