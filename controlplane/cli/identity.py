"""
Commands ``volary owner-link`` and ``volary audit``.

The link comes straight from the database: it works while no replica answers, and before anyone can
log in.
"""

from collections.abc import Sequence
from datetime import datetime

import click

from controlplane.cli.calls import Column, Platform, read, time_of, with_platform
from controlplane.cli.operations import CommandContext, with_context
from controlplane.client.calls import Message
from controlplane.client.errors import ClientError
from controlplane.core.audit import AuditEvent, AuditRecord, render_json_line
from controlplane.core.callers import Subject
from shared.model.ids import OrgName

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
@with_platform
def export(platform: Platform, *, after: int) -> None:
    """Print the records, oldest first, one JSON object a line."""
    while True:
        page = platform.call("AuditService/ExportAuditLog", after=str(after))
        for message in page.get("records", ()):
            click.echo(render_json_line(_parse_record(page["org"], message)))
            after = int(message["number"])
        if page.get("complete"):
            return


def _parse_record(org: str, message: Message) -> AuditRecord:
    return AuditRecord(
        org=OrgName(org),
        number=int(message["number"]),
        at=datetime.fromisoformat(message["at"]),
        event=AuditEvent(
            actor=Subject(message.get("actor", "")),
            action=message.get("action", ""),
            target=message.get("target", ""),
            outcome=message.get("outcome", ""),
            peer=message.get("peer", ""),
            request_id=message.get("requestId", ""),
            detail=message.get("detail", {}),
        ),
        previous_hash=bytes.fromhex(message["previousHash"]),
        hash=bytes.fromhex(message["hash"]),
    )
