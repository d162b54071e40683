"""Commands ``volary org`` and ``volary session``."""

from collections.abc import Sequence

import click

from controlplane.cli.backups import database_url, open_blobs, owner_url, store_options
from controlplane.cli.calls import Column, Platform, read, time_of, with_platform, yes
from controlplane.cli.operations import CommandContext, with_context
from controlplane.cli.tables import render_fields
from controlplane.cli.user_errors import user_errors
from controlplane.client.calls import Message
from controlplane.client.errors import ClientError


def _program_of(session: Message) -> str:
    return str(session.get("clientId") or session.get("browser") or "")


_ORGS: Sequence[Column] = (
    ("ORG", read("name")),
    ("NAME", read("displayName")),
    ("ROLE", read("role")),
)
_SESSIONS: Sequence[Column] = (
    ("SESSION", read("id")),
    ("PROGRAM OR BROWSER", _program_of),
    ("STARTED", time_of("createdAt")),
    ("LAST USED", time_of("usedAt")),
    ("ENDS", time_of("expiresAt")),
    ("THIS ONE", read("current", default=False)),
)


@click.group()
def org() -> None:
    """Show, rename, create, join, list and delete orgs."""


@org.command()
@with_platform
def show(platform: Platform) -> None:
    """Show the org of the login."""
    _show(platform, platform.call("OrgService/GetOrg"))


@org.command("list")
@with_platform
def list_orgs(platform: Platform) -> None:
    """List the orgs that you are a member of."""
    platform.list("OrgService/ListOrgs", "orgs", _ORGS)


@org.command("list-joinable")
@with_platform
def list_joinable(platform: Platform) -> None:
    """List the orgs that are open to the domain of your verified e-mail address."""
    platform.list("OrgService/ListJoinableOrgs", "orgs", _ORGS)


@org.command()
@click.argument("name")
@with_platform
def join(platform: Platform, name: str) -> None:
    """Join an org that is open to the domain of your verified e-mail address."""
    answer = platform.call("OrgService/JoinOrg", name=name)
    platform.answer(
        answer, [f"You are a member of org {answer['org']}; run `volary login` to act in it."]
    )


@org.command()
@click.argument("name")
@click.option("--display-name", help="Name that people see.")
@with_platform
def create(platform: Platform, name: str, *, display_name: str | None) -> None:
    """Create an org, whose owner you are."""
    _show(platform, platform.call("OrgService/CreateOrg", name=name, displayName=display_name))


@org.command()
@click.option("--display-name", help="Name that people see; the org's own name stays.")
@click.option(
    "--require-identity-provider/--no-require-identity-provider",
    "requires",
    default=None,
    help="Admit people by the org's own identity providers only; other logins end.",
)
@with_platform
def update(platform: Platform, *, display_name: str | None, requires: bool | None) -> None:
    """Rename the org for people, or require its own identity provider."""
    changed = {"displayName": display_name, "requiresOwnProvider": requires}
    given = {field: value for field, value in changed.items() if value is not None}
    if not given:
        raise ClientError("nothing to change; give --display-name or --require-identity-provider")
    answer = platform.call("OrgService/UpdateOrg", org=given, updateMask=",".join(given))
    _show(platform, answer)


@org.command()
@click.argument("name")
@yes
@with_platform
def delete(platform: Platform, name: str) -> None:
    """
    Delete the org of the login; type its NAME again.

    At once no person and no key can log in to it, and its runs are aborted. Your operator can restore
    it for some days; then its data is erased.
    """
    platform.confirm(f"Delete org {name}, with all its runs, tasks, secrets and data?")
    answer = platform.call("OrgService/DeleteOrg", name=name)
    until = time_of("eraseAt")(answer["org"])
    platform.answer(answer, [f"Org {name} is deleted. Your operator can restore it until {until}."])


@org.command()
@with_context
def restore(context: CommandContext) -> None:
    """
    Restore a deleted org, named by --org, before its data is erased; for the operator.

    Works on the database. People log in again; API keys and agents are accepted again; runs stay
    aborted.
    """
    from controlplane.cli import operators  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        found = await operator.deletion.restore(operator.caller)
        context.answer({"org": found.name}, [f"Org {found.name} is restored."])

    operators.run(context, work)


@org.command()
@click.argument("location")
@click.option("--org", "name", required=True, help="The org to export.")
@click.option(
    "--rows-only", is_flag=True, help="Do not list the org's objects in VOLARY_BLOB_BASE."
)
@database_url
def export(location: str, *, name: str, rows_only: bool, database_url: str) -> None:
    """
    Write all that an org has to LOCATION, a path or s3://bucket/name; for the operator.

    JSON lines: each row of its tables, then each of its objects by name and size. Secrets and
    credentials are left out, but for their names. Nothing of another org is read.
    """
    import asyncio  # noqa: PLC0415

    from controlplane.usecases.org_exports import export_org  # noqa: PLC0415
    from shared.model.ids import OrgName  # noqa: PLC0415

    blobs = None if rows_only else open_blobs("to list its objects; or give --rows-only")
    with user_errors():
        made = asyncio.run(
            export_org(
                owner_url(database_url, None),
                OrgName(name),
                location,
                options=store_options(),
                blobs=blobs,
            )
        )
    click.echo(
        f"Exported org {name} to {location}: {made.rows} rows, {made.blobs} objects of "
        f"{made.blob_bytes} bytes."
    )


def _show(platform: Platform, answer: Message) -> None:
    found = answer["org"]
    platform.answer(
        answer,
        render_fields(
            {
                "org": found["name"],
                "name": found.get("displayName"),
                "created by": found.get("createdBy"),
                "created": time_of("createdAt")(found),
                "version": found.get("version"),
                "people log in": "by the org's own identity providers only"
                if found.get("requiresOwnProvider")
                else "by any identity provider",
                "deleted": time_of("deletedAt")(found),
                "erased": time_of("erasedAt")(found) or time_of("eraseAt")(found),
            }
        ),
    )


@click.group()
def session() -> None:
    """List and end logins of people, by the SDK and command lines."""


@session.command("list")
@click.option("--user", "user_id", help="Id of a member, instead of yourself.")
@with_platform
def list_sessions(platform: Platform, *, user_id: str | None) -> None:
    """List logins, newest first."""
    platform.list("SessionService/ListSessions", "sessions", _SESSIONS, userId=user_id)


@session.command()
@click.argument("id_", metavar="ID")
@click.option("--user", "user_id", help="Id of the member whose login it is.")
@yes
@with_platform
def revoke(platform: Platform, id_: str, *, user_id: str | None) -> None:
    """End a login with its tokens and streams, within a second."""
    platform.confirm(f"End login {id_}?")
    answer = platform.call("SessionService/RevokeSession", id=id_, userId=user_id)
    platform.answer(answer, [f"Login {id_} has ended."])
