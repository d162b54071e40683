"""Commands ``volary login``, ``logout``, ``whoami`` and ``context``."""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import click

from controlplane.cli.remote import client_errors, with_choice
from controlplane.cli.tables import printable, render_fields, table
from controlplane.client.addresses import Address, parse_address
from controlplane.client.authorization import AuthorizationServer, Tokens
from controlplane.client.contexts import (
    Context,
    ContextFile,
    Contexts,
    config_file,
    parse_name,
)
from controlplane.client.errors import ClientError, LoginRequiredError
from controlplane.client.http import Connection
from controlplane.client.selection import CA_FILE, Choice, select

_USER_INFO = "flyteidl2.auth.IdentityService/UserInfo"

_OUTPUT = click.option(
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="table for people, json for programs.",
)


@click.command()
@click.argument("url")
@click.option("--device", is_flag=True, help="Show a code, for a browser on another machine.")
@click.option("--org", default="", help="Refuse a login to any other org.")
@click.option("--context", "name", default="", help="Name of the context; default: ORG@HOST.")
@click.option(
    "--ca-file",
    envvar=CA_FILE,
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    default=None,
    help="Certificate (PEM) of a private CA; kept with the login.",
)
@click.option(
    "--callback-port",
    type=click.IntRange(1, 65535),
    default=None,
    help="Port of localhost that the browser's answer comes to.  [default: any free port]",
)
def login(
    url: str,
    *,
    device: bool,
    org: str,
    name: str,
    ca_file: str | None,
    callback_port: int | None,
) -> None:
    """
    Log in to the control plane at URL in a browser, and use it from now on.

    The login is kept in $XDG_CONFIG_HOME/volary/config, which only you can read. Programs need no
    login: give them an API key in VOLARY_API_KEY.
    """
    from controlplane.client import login as logins  # noqa: PLC0415

    with client_errors():
        file = ContextFile(config_file(os.environ))
        file.require_usable()  # rather than after the person has logged in
        if name:
            parse_name(name)
        address = parse_address(url)
        connection = Connection(address, Path(ca_file) if ca_file else None)
        server = AuthorizationServer(connection)
        if not server.has_logins():
            _save(file, name or address.netloc, Context(url=address.url, ca_file=ca_file or ""))
            click.echo(f"{address.url} has no logins: commands use it without one.", err=True)
            return
        if not device and not logins.has_browser(os.environ):
            click.echo("There is no browser on this machine.", err=True)
            device = True
        if device:
            tokens = logins.log_in_by_device(server, _show)
        else:
            tokens = logins.log_in_by_browser(server, _show, callback_port or 0)
        context = _context_of(address, tokens, ca_file or "")
        if org and context.org != org:
            with suppress(ClientError):
                server.revoke(tokens.refresh_token)
            raise ClientError(
                f"the login is for org {context.org}, not {org}; choose {org} in the browser"
            )
        name = name or f"{context.org}@{address.netloc}"
        replaced = _save(file, name, context)
        if replaced is not None and replaced.refresh_token and replaced.url == address.url:
            with suppress(ClientError):  # it would expire by itself
                server.revoke(replaced.refresh_token)
        click.echo(
            printable(
                f"Logged in to {address.url} as {context.subject} in org {context.org} "
                f"(context {name})."
            ),
            err=True,
        )


@click.command()
@click.argument("name", required=False, default="")
@click.option("--all", "every", is_flag=True, help="End all logins.")
def logout(name: str, *, every: bool) -> None:
    """End the login of a context, here and at its control plane; the current one by default."""
    with client_errors():
        file = ContextFile(config_file(os.environ))
        contexts = file.read()
        names = list(contexts.by_name) if every else [name or contexts.current]
        for each in names:
            if each not in contexts.by_name:
                raise LoginRequiredError(
                    f"there is no context {each}; there is {', '.join(contexts.by_name) or 'none'}"
                    if each
                    else "there is no current login"
                )
        for each in names:
            _end(file, each)


@click.command()
@_OUTPUT
@with_choice
def whoami(choice: Choice, *, output: str) -> None:
    """Print who is logged in, and where, as the control plane says."""
    selected = select(os.environ, choice)
    user = selected.api.call(_USER_INFO, {})
    answer = {
        "url": selected.address.url,
        "org": selected.org,
        "subject": user.get("subject", ""),
        "name": user.get("name", ""),
        "context": selected.context,
    }
    _print(output, answer, render_fields({key: value or None for key, value in answer.items()}))


@click.group()
def context() -> None:
    """List and choose the logins that commands use."""


@context.command("list")
@_OUTPUT
def list_(output: str) -> None:
    """List the contexts; the current one has a star."""
    with client_errors():
        contexts = ContextFile(config_file(os.environ)).read()
        rows = [
            {
                "name": name,
                "current": name == contexts.current,
                "url": each.url,
                "org": each.org,
                "subject": each.subject,
            }
            for name, each in sorted(contexts.by_name.items())
        ]
        _print(
            output,
            {"contexts": rows},
            table(
                ("", "CONTEXT", "URL", "ORG", "SUBJECT"),
                [
                    (
                        "*" if row["current"] else "",
                        *list(row.values())[:1],
                        *list(row.values())[2:],
                    )
                    for row in rows
                ],
            ),
        )


@context.command()
@click.argument("name")
def use(name: str) -> None:
    """Make a context the current one."""

    def change(contexts: Contexts) -> Contexts:
        if name not in contexts.by_name:
            raise LoginRequiredError(
                f"there is no context {name}; there is {', '.join(contexts.by_name) or 'none'}"
            )
        return Contexts(name, contexts.by_name)

    with client_errors():
        ContextFile(config_file(os.environ)).change(change)


def _show(text: str) -> None:
    click.echo(printable(text), err=True)


def _context_of(address: Address, tokens: Tokens, ca_file: str) -> Context:
    claims = tokens.claims
    return Context(
        url=address.url,
        org=str(claims.get("org", "")),
        subject=str(claims.get("sub", "")),
        ca_file=ca_file,
        access_token=tokens.access_token,
        expires_at=tokens.expires_at,
        refresh_token=tokens.refresh_token,
    )


def _save(file: ContextFile, name: str, context: Context) -> Context | None:
    """Store a context as the current one; return the one that it replaces."""
    replaced: list[Context] = []

    def change(contexts: Contexts) -> Contexts:
        replaced.extend(filter(None, [contexts.by_name.get(name)]))
        return contexts.with_context(name, context)

    file.change(change)
    return replaced[0] if replaced else None


def _end(file: ContextFile, name: str) -> None:
    with file.refreshing(name):  # no other process stores new tokens meanwhile
        context = file.require(name)
        if context.refresh_token:
            ca_file = Path(context.ca_file) if context.ca_file else None
            connection = Connection(parse_address(context.url), ca_file)
            try:
                AuthorizationServer(connection).revoke(context.refresh_token)
            except ClientError as error:
                _show(
                    f"{context.url} did not confirm the end of the login ({error}). It is removed "
                    "from this machine; elsewhere it ends with `volary session revoke`."
                )
        file.change(lambda contexts: contexts.without(name))
    click.echo(f"Logged out of {context.url} (context {name}).", err=True)


def _print(output: str, answer: Mapping[str, object], lines: Iterable[str]) -> None:
    if output == "json":
        click.echo(json.dumps(answer, indent=2))
        return
    for line in lines:
        click.echo(line)
