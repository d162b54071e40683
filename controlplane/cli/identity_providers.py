"""Command ``volary identity-provider``: where the people of an org log in."""

from collections.abc import Sequence
from typing import TextIO

import click

from controlplane.cli.calls import Column, Platform, read, with_platform, yes

_PROVIDERS: Sequence[Column] = (
    ("ID", read("id")),
    ("NAME", read("name")),
    ("ISSUER", read("issuer")),
    ("CLIENT ID", read("clientId")),
    ("GROUPS CLAIM", read("groupsClaim")),
    ("DISABLED", read("disabled", default=False)),
)


@click.group("identity-provider")
def identity_provider() -> None:
    """Configure the identity providers (OpenID Connect) at which people log in."""


@identity_provider.command("list")
@with_platform
def list_providers(platform: Platform) -> None:
    """List the org's providers."""
    platform.list("IdentityProviderService/ListIdentityProviders", "identityProviders", _PROVIDERS)


@identity_provider.command()
@click.argument("issuer")
@click.option("--client-id", required=True, help="This service's id at the provider.")
@click.option(
    "--client-secret-file",
    type=click.File(),
    help="File with the client secret; - is standard input. None for a public client.",
)
@click.option("--name", help="Name on the login page.")
@click.option("--scope", "scopes", multiple=True, help="Scope to ask for; several are allowed.")
@click.option("--groups-claim", help="Claim with a person's groups, such as groups.")
@click.option(
    "--email-domain",
    "email_domains",
    multiple=True,
    help="People with a verified address there become members at login.",
)
@click.option("--role", help="Role of those who become members at login.")
@with_platform
def create(
    platform: Platform,
    issuer: str,
    *,
    client_id: str,
    client_secret_file: TextIO | None,
    name: str | None,
    scopes: Sequence[str],
    groups_claim: str | None,
    email_domains: Sequence[str],
    role: str | None,
) -> None:
    """Add a provider by its ISSUER, and print the redirect address to register there."""
    secret = None if client_secret_file is None else client_secret_file.read().strip()
    answer = platform.create(
        "IdentityProviderService/CreateIdentityProvider",
        issuer=issuer,
        clientId=client_id,
        clientSecret=secret,
        name=name,
        scopes=list(scopes),
        groupsClaim=groups_claim,
        emailDomains=list(email_domains),
        role=role,
    )
    made = answer["identityProvider"]
    lines = [f"Identity provider {made['id']} was added. Register this address there:"]
    platform.answer(answer, [*lines, f"  {made['callbackUrl']}"])


@identity_provider.command()
@click.argument("id_", metavar="ID")
@click.option("--disabled/--enabled", required=True, help="Whether people may log in there.")
@with_platform
def update(platform: Platform, id_: str, *, disabled: bool) -> None:
    """Disable a provider, which ends the sessions that began there; or enable it."""
    answer = platform.call(
        "IdentityProviderService/UpdateIdentityProvider",
        identityProvider={"id": id_, "disabled": disabled},
        updateMask="disabled",
    )
    state = "disabled" if disabled else "enabled"
    platform.answer(answer, [f"Identity provider {id_} is {state}."])


@identity_provider.command()
@click.argument("id_", metavar="ID")
@yes
@with_platform
def delete(platform: Platform, id_: str) -> None:
    """Remove a provider; sessions that began there end, members stay."""
    platform.confirm(f"Remove identity provider {id_} and end its sessions?")
    answer = platform.call("IdentityProviderService/DeleteIdentityProvider", id=id_)
    platform.answer(answer, [f"Identity provider {id_} was removed."])
