"""Commands ``volary service-account`` and ``volary apikey``: identities of programs, their keys."""

from collections.abc import Sequence
from datetime import timedelta

import click

from controlplane.cli.calls import Column, Platform, read, time_of, with_platform, yes
from controlplane.cli.operations import Duration
from controlplane.cli.tables import render_fields
from controlplane.client.calls import Message
from controlplane.client.errors import ClientError
from shared.kit.clock import SystemClock
from shared.kit.timestamps import render_rfc3339

_ACCOUNTS: Sequence[Column] = (
    ("SERVICE ACCOUNT", read("id")),
    ("NAME", read("name")),
    ("DISABLED", read("disabled", default=False)),
    ("CREATED", time_of("createdAt")),
    ("DESCRIPTION", read("description")),
)
_KEYS: Sequence[Column] = (
    ("API KEY", read("id")),
    ("NAME", read("name")),
    ("SERVICE ACCOUNT", read("serviceAccountId")),
    ("CREATED", time_of("createdAt")),
    ("EXPIRES", time_of("expiresAt")),
    ("LAST USED", time_of("lastUsedAt")),
    ("REVOKED", time_of("revokedAt")),
)
_ID = click.argument("id_", metavar="ID")
_EXPIRES_IN = click.option("--expires-in", type=Duration(), help="e.g. 720h  [default: never]")


@click.group("service-account")
def service_account() -> None:
    """Manage the identities of programs; volary role bind says what they may do."""


@service_account.command()
@click.argument("name")
@click.option("--description", help="What the program is.")
@with_platform
def create(platform: Platform, name: str, *, description: str | None) -> None:
    """Create a service account, without any role."""
    answer = platform.create(
        "ServiceAccountService/CreateServiceAccount", name=name, description=description
    )
    _show(platform, answer)


@service_account.command("list")
@with_platform
def list_accounts(platform: Platform) -> None:
    """List the service accounts, oldest first."""
    platform.list("ServiceAccountService/ListServiceAccounts", "serviceAccounts", _ACCOUNTS)


@service_account.command()
@_ID
@with_platform
def show(platform: Platform, id_: str) -> None:
    """Show a service account."""
    _show(platform, platform.call("ServiceAccountService/GetServiceAccount", id=id_))


@service_account.command()
@_ID
@click.option("--name", help="Another name.")
@click.option("--description", help="Another description.")
@click.option(
    "--disable/--enable", "disabled", default=None, help="Refuse its keys, or accept them again."
)
@with_platform
def update(
    platform: Platform,
    id_: str,
    *,
    name: str | None,
    description: str | None,
    disabled: bool | None,
) -> None:
    """Rename, describe, disable or enable a service account."""
    settings = {"name": name, "description": description, "disabled": disabled}
    given = {field: value for field, value in settings.items() if value is not None}
    if not given:
        raise ClientError("nothing to change; give --name, --description, --disable or --enable")
    answer = platform.call(
        "ServiceAccountService/UpdateServiceAccount",
        serviceAccount={"id": id_, **given},
        updateMask=",".join(given),
    )
    _show(platform, answer)


@service_account.command()
@_ID
@yes
@with_platform
def delete(platform: Platform, id_: str) -> None:
    """Delete a service account with its keys and roles."""
    platform.confirm(f"Delete service account {id_} with all its keys?")
    answer = platform.call("ServiceAccountService/DeleteServiceAccount", id=id_)
    platform.answer(answer, [f"Service account {id_} is deleted."])


@click.group()
def apikey() -> None:
    """Create, rotate and revoke API keys of service accounts."""


@apikey.command("create")
@click.argument("service_account_id")
@click.option("--name", help="What the key is for.")
@_EXPIRES_IN
@with_platform
def create_key(
    platform: Platform, service_account_id: str, *, name: str | None, expires_in: timedelta | None
) -> None:
    """Create a key, and print it for VOLARY_API_KEY or FLYTE_API_KEY; it is shown only now."""
    answer = platform.create(
        "ApiKeyService/CreateApiKey",
        serviceAccountId=service_account_id,
        name=name,
        expiresAt=_time_in(expires_in),
    )
    _show_secret(platform, answer)


@apikey.command("list")
@click.option("--service-account", help="Only keys of the service account with this id.")
@with_platform
def list_keys(platform: Platform, *, service_account: str | None) -> None:
    """List keys, revoked ones too, oldest first."""
    platform.list("ApiKeyService/ListApiKeys", "apiKeys", _KEYS, serviceAccountId=service_account)


@apikey.command("show")
@_ID
@with_platform
def show_key(platform: Platform, id_: str) -> None:
    """Show a key, without its secret."""
    answer = platform.call("ApiKeyService/GetApiKey", id=id_)
    fields = {title.lower(): of(answer["apiKey"]) for title, of in _KEYS}
    platform.answer(answer, render_fields(fields))


@apikey.command()
@_ID
@click.option(
    "--overlap", type=Duration(), help="How long the former key works on.  [default: not at all]"
)
@_EXPIRES_IN
@with_platform
def rotate(
    platform: Platform, id_: str, *, overlap: timedelta | None, expires_in: timedelta | None
) -> None:
    """Create the successor of a key, and print it; it is shown only now."""
    answer = platform.create(
        "ApiKeyService/RotateApiKey",
        id=id_,
        overlap=None if overlap is None else f"{int(overlap.total_seconds())}s",
        expiresAt=_time_in(expires_in),
    )
    _show_secret(platform, answer)


@apikey.command()
@_ID
@yes
@with_platform
def revoke(platform: Platform, id_: str) -> None:
    """End a key with its access tokens and streams, within a second."""
    platform.confirm(f"Revoke API key {id_}?")
    answer = platform.call("ApiKeyService/RevokeApiKey", id=id_)
    platform.answer(answer, [f"API key {id_} is revoked."])


def _show(platform: Platform, answer: Message) -> None:
    fields = {title.lower(): of(answer["serviceAccount"]) for title, of in _ACCOUNTS}
    platform.answer(answer, render_fields(fields))


def _show_secret(platform: Platform, answer: Message) -> None:
    """Print the key alone, so that it can go into a variable or a file; the rest for people."""
    secret = answer.get("secret", {}).get("apiKey")
    if secret is None:
        raise ClientError(
            f"the key was made by an earlier try of this request, and its secret is lost; run "
            f"`volary apikey revoke {answer['apiKey']['id']}` and create another"
        )
    platform.answer(answer, [secret])
    click.echo(f"This is API key {answer['apiKey']['id']}; it is shown only now.", err=True)


def _time_in(length: timedelta | None) -> str | None:
    return None if length is None else render_rfc3339(SystemClock().now() + length)
