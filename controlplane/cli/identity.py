"""
Commands ``volary owner-link`` and ``volary audit``.

The link and the export come straight from the database: they work while no replica answers, and
before anyone can log in.
"""

from collections.abc import Sequence

import click

from controlplane.cli.calls import Column, Platform, read, time_of, with_platform
from controlplane.cli.operations import CommandContext, with_context
from controlplane.client.errors import ClientError

_RECORDS: Sequence[Column] = (
    ("RECORD", read("number")),
    ("AT", time_of("at")),
    ("ACTOR", read("actor")),
    ("ACTION", read("action")),
    ("TARGET", read("target")),
    ("OUTCOME", read("outcome")),
    ("FROM", read("peer")),
)


@click.command("owner-link")
@click.option(
    "--public-url",
    envvar="VOLARY_PUBLIC_URL",
    default=None,
    help="URL at which browsers reach the control plane.  [default: that of volary up]",
)
@with_context
def owner_link(context: CommandContext, *, public_url: str | None) -> None:
    """
    Print a link that makes the person who opens it an owner of the org.

    It works once, for 15 minutes, and is shown only now; links printed before stop working. The org
    is created if it does not exist.
    """
    from controlplane.cli import operators  # noqa: PLC0415
    from controlplane.core.identity import OWNER_LINK_LIFE, link_to_join  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        token = await operator.invitations.create_owner_link(operator.caller)
        minutes = OWNER_LINK_LIFE.seconds // 60
        link = link_to_join(public_url or operators.find_public_url(context), token)
        context.answer(
            {"org": context.org, "link": link, "minutes": minutes},
            [f"Open within {minutes} minutes to become an owner of org {context.org}:", link],
        )

    operators.run(context, work, creates_org=True)


@click.group()
def audit() -> None:
    """List, verify and export the audit log of an org."""


@audit.command("list")
@click.option("--actor", help="Only acts of this subject, as in user:ID.")
@click.option("--action", help="Only acts of this kind, as in member.remove.")
@click.option("--target", help="Only acts on this thing, as in role:reader.")
@click.option("--since", help="At or after this time.  e.g. 2026-01-31T00:00:00Z")
@click.option("--until", help="Before this time.")
@with_platform
def list_records(
    platform: Platform,
    *,
    actor: str | None,
    action: str | None,
    target: str | None,
    since: str | None,
    until: str | None,
) -> None:
    """List records, newest first."""
    platform.list(
        "AuditService/ListAuditRecords",
        "records",
        _RECORDS,
        actor=actor,
        action=action,
        target=target,
        since=since,
        until=until,
    )


@audit.command()
@with_platform
def verify(platform: Platform) -> None:
    """Check that no record was removed or changed; exits with 1 and names the first."""
    after = "0"
    while True:
        answer = platform.call("AuditService/VerifyAuditLog", after=after)
        broken = answer.get("broken")
        if broken is not None:
            if platform.json:
                platform.answer(answer, ())
            raise ClientError(
                f"the audit log breaks at record {broken['number']}: {broken['reason']}"
            )
        if answer.get("complete"):
            platform.answer(answer, ["The audit log is intact."])
            return
        after = answer.get("checkedTo", "0")


@audit.command()
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only records after this one.")
@with_context
def export(context: CommandContext, *, after: int) -> None:
    """Print the records from the database, oldest first, one JSON object a line."""
    from controlplane.cli import operators  # noqa: PLC0415
    from controlplane.core.audit import render_json_line  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        async for record in operator.audit.export(operator.caller, after=after):
            click.echo(render_json_line(record))

    operators.run(context, work)
