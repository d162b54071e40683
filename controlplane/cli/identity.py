"""
Commands ``volary owner-link`` and ``volary audit``, straight at the database.

They work while no replica answers, and before anyone can log in.
"""

import click

from controlplane.cli.operations import CommandContext, with_context


@click.command("owner-link")
@click.option(
    "--public-url",
    envvar="VOLARY_PUBLIC_URL",
    default="http://localhost:8100",
    show_default=True,
    help="URL at which browsers reach the control plane.",
)
@with_context
def owner_link(context: CommandContext, *, public_url: str) -> None:
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
        link = link_to_join(public_url, token)
        context.answer(
            {"org": context.org, "link": link, "minutes": minutes},
            [f"Open within {minutes} minutes to become an owner of org {context.org}:", link],
        )

    operators.run(context, work, creates_org=True)


@click.group()
def audit() -> None:
    """Verify and export the audit log of an org."""


@audit.command()
@with_context
def verify(context: CommandContext) -> None:
    """Check that no record was removed or changed; exits with 1 and names the first."""
    from controlplane.cli import operators  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        broken = await operator.audit.verify(operator.caller)
        if broken is not None:
            raise click.ClickException(
                f"the audit log of org {context.org} breaks at record {broken.number}: "
                f"{broken.reason}"
            )
        context.answer(
            {"org": context.org, "intact": True},
            [f"The audit log of org {context.org} is intact."],
        )

    operators.run(context, work)


@audit.command()
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only records after this one.")
@with_context
def export(context: CommandContext, *, after: int) -> None:
    """Print the records, oldest first, one JSON object a line."""
    from controlplane.cli import operators  # noqa: PLC0415
    from controlplane.core.audit import render_json_line  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        async for record in operator.audit.export(operator.caller, after=after):
            click.echo(render_json_line(record))

    operators.run(context, work)
