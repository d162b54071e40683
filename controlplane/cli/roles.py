"""Commands ``volary role``: roles, and their bindings to people, programs and groups."""

from collections.abc import Sequence

import click

from controlplane.cli.calls import Column, Platform, read, time_of, with_platform, yes
from controlplane.cli.tables import render_fields
from controlplane.client.calls import Message
from controlplane.client.errors import ClientError

_ROLES: Sequence[Column] = (
    ("ROLE", read("name")),
    ("BUILT IN", read("builtIn", default=False)),
    ("PERMISSIONS", lambda row: len(row.get("permissions", ()))),
    ("DESCRIPTION", read("description")),
)
_BINDINGS: Sequence[Column] = (
    ("BINDING", read("id")),
    ("ROLE", read("role")),
    ("PRINCIPAL", lambda row: _principal_text(row.get("principal", {}))),
    ("PROJECT", read("project")),
    ("DOMAIN", read("domain")),
    ("SINCE", time_of("createdAt")),
)
_KINDS = {"userId": "user", "serviceAccountId": "serviceaccount", "group": "group"}
_NAME = click.argument("name")
_PERMISSION = click.option(
    "--permission", "permissions", multiple=True, help="See volary role permissions; repeatable."
)
_USER = click.option("--user", help="Id of a member.")
_ACCOUNT = click.option("--service-account", help="Id of a service account.")
_GROUP = click.option("--group", help="Group, as the identity provider names it.")


@click.group()
def role() -> None:
    """Make roles, and bind them to people, programs and groups."""


@role.command("list")
@with_platform
def list_roles(platform: Platform) -> None:
    """List the built-in roles, then the org's own."""
    platform.list("RoleService/ListRoles", "roles", _ROLES)


@role.command()
@with_platform
def permissions(platform: Platform) -> None:
    """List the permissions that roles are made of."""
    columns: Sequence[Column] = (("PERMISSION", lambda row: row),)
    platform.list("RoleService/ListPermissions", "permissions", columns)


@role.command()
@_NAME
@with_platform
def show(platform: Platform, name: str) -> None:
    """Show a role with its permissions."""
    _show(platform, platform.call("RoleService/GetRole", name=name))


@role.command()
@_NAME
@_PERMISSION
@click.option("--description", help="What the role is for.")
@with_platform
def create(
    platform: Platform, name: str, *, permissions: Sequence[str], description: str | None
) -> None:
    """Create a role; you must hold all its permissions."""
    answer = platform.call(
        "RoleService/CreateRole",
        name=name,
        permissions=list(permissions),
        description=description,
    )
    _show(platform, answer)


@role.command()
@_NAME
@_PERMISSION
@click.option("--description", help="What the role is for.")
@with_platform
def update(
    platform: Platform, name: str, *, permissions: Sequence[str], description: str | None
) -> None:
    """Replace a role's permissions or description, for all who have it."""
    given: dict[str, object] = {}
    if permissions:
        given["permissions"] = list(permissions)
    if description is not None:
        given["description"] = description
    if not given:
        raise ClientError("nothing to change; give --permission or --description")
    answer = platform.call(
        "RoleService/UpdateRole", role={"name": name, **given}, updateMask=",".join(given)
    )
    _show(platform, answer)


@role.command()
@_NAME
@yes
@with_platform
def delete(platform: Platform, name: str) -> None:
    """Delete a role that nothing has."""
    platform.confirm(f"Delete role {name}?")
    answer = platform.call("RoleService/DeleteRole", name=name)
    platform.answer(answer, [f"Role {name} is deleted."])


@role.command()
@_NAME
@_USER
@_ACCOUNT
@_GROUP
@click.option("--project", help="Only in this project.")
@click.option("--domain", help="Only in this domain of the project.")
@with_platform
def bind(
    platform: Platform,
    name: str,
    *,
    user: str | None,
    service_account: str | None,
    group: str | None,
    project: str | None,
    domain: str | None,
) -> None:
    """Give a role to a member, a service account or a group."""
    principal = _principal(user, service_account, group)
    if principal is None:
        raise ClientError("name one of --user, --service-account and --group")
    answer = platform.create(
        "RoleBindingService/CreateRoleBinding",
        principal=principal,
        role=name,
        project=project,
        domain=domain,
    )
    found = answer["roleBinding"]
    who = _principal_text(found["principal"])
    platform.answer(answer, [f"{who} has role {name} (binding {found['id']})."])


@role.command()
@_USER
@_ACCOUNT
@_GROUP
@click.option("--role", "name", help="Only bindings of this role.")
@click.option("--project", help="Only bindings in this project.")
@with_platform
def bindings(
    platform: Platform,
    *,
    user: str | None,
    service_account: str | None,
    group: str | None,
    name: str | None,
    project: str | None,
) -> None:
    """List the bindings of roles, oldest first."""
    platform.list(
        "RoleBindingService/ListRoleBindings",
        "roleBindings",
        _BINDINGS,
        principal=_principal(user, service_account, group),
        role=name,
        project=project,
    )


@role.command()
@click.argument("id_", metavar="BINDING_ID")
@yes
@with_platform
def unbind(platform: Platform, id_: str) -> None:
    """Take a role away: delete a binding."""
    platform.confirm(f"Delete binding {id_}?")
    answer = platform.call("RoleBindingService/DeleteRoleBinding", id=id_)
    platform.answer(answer, [f"Binding {id_} is deleted."])


def _show(platform: Platform, answer: Message) -> None:
    found = answer["role"]
    platform.answer(
        answer,
        render_fields(
            {
                "role": found["name"],
                "built in": found.get("builtIn", False),
                "description": found.get("description"),
                "permissions": " ".join(found.get("permissions", ())) or None,
                "version": found.get("version"),
            }
        ),
    )


def _principal(
    user: str | None, service_account: str | None, group: str | None
) -> dict[str, str] | None:
    """Return the principal that options name; None for none, ClientError for several."""
    given = {"userId": user, "serviceAccountId": service_account, "group": group}
    named = {kind: value for kind, value in given.items() if value is not None}
    if len(named) > 1:
        raise ClientError("name one of --user, --service-account and --group, not several")
    return named or None


def _principal_text(principal: Message) -> str:
    return ", ".join(f"{_KINDS.get(kind, kind)}:{value}" for kind, value in principal.items())
