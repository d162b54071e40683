"""
Commands of ``volary secret``: list secrets, rotate their values, seal them again.

Sealing again is the operator's, for all orgs, on the database.

``flyte create secret`` creates them. A value is read from a file, a pipe or a hidden prompt,
never from an argument, which other users of the machine could see.
"""

import base64
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import click

from controlplane.cli.calls import Column, Platform, read, time_of, with_platform
from controlplane.cli.operations import CommandContext, with_context
from shared.kit.secrets import SecretBytes

_COLUMNS: Sequence[Column] = (
    ("NAME", read("name")),
    ("PROJECT", read("project", default="-")),
    ("DOMAIN", read("domain", default="-")),
    ("TYPE", read("type")),
    ("VERSION", read("version")),
    ("UPDATED", time_of("updatedAt")),
    ("KEYRING", read("keyring")),
    ("CLUSTERS", read("clusters")),
)


@click.group()
def secret() -> None:
    """List and rotate secrets; seal them again after a change of keys."""


@secret.command("list")
@click.option("--project", help="Only secrets of this project; names a domain too.")
@click.option("--domain", help="Only secrets of this domain and its projects.")
@with_platform
def list_(platform: Platform, *, project: str | None, domain: str | None) -> None:
    """List secrets; values are shown nowhere."""
    platform.list("SecretService/ListSecrets", "secrets", _COLUMNS, project=project, domain=domain)


@secret.command()
@click.argument("name")
@click.option("--project", help="Project of the secret; names a domain too.")
@click.option("--domain", help="Domain of the secret.")
@click.option(
    "--from-file",
    type=click.File("rb"),
    help="File with the value, byte for byte; -: standard input. Default: ask for it.",
)
@with_platform
def update(
    platform: Platform,
    name: str,
    *,
    project: str | None,
    domain: str | None,
    from_file: BinaryIO | None,
) -> None:
    """Replace a secret's value; attempts that start from now on get the new one."""
    value = base64.b64encode(_read_value(from_file).reveal()).decode()
    answer = platform.call(
        "SecretService/RotateSecret", name=name, project=project, domain=domain, value=value
    )
    platform.answer(answer, [f"Secret {name} is updated."])


@secret.command()
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Key file instead of the configured one; its first key seals.",
)
@with_context
def reseal(context: CommandContext, *, key_file: Path | None) -> None:
    """
    Seal all secrets and delivery configurations of all orgs to the current keys.

    The control plane may serve meanwhile.
    """
    from controlplane.cli import operators  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        done = await operator.secrets.reseal()
        configs = await operator.configs.reseal(operator.database)
        lines = [
            f"{done.resealed} secrets sealed again, {done.current} were current.",
            f"{configs.resealed} delivery configurations sealed again, {configs.current} current.",
        ]
        lines += [f"Not sealed again, update it: {name} ({name.org})" for name in done.left]
        lines += [
            f"Not sealed again, its key is missing: delivery configuration {name} ({org})"
            for org, name in configs.left
        ]
        context.answer({"secrets": done, "delivery_configs": configs}, lines)
        if done.left or configs.left:
            raise SystemExit(1)

    operators.run(context, work, key_file=key_file)


def _read_value(file: BinaryIO | None) -> SecretBytes:
    if file is not None:
        return SecretBytes(file.read())
    if not sys.stdin.isatty():
        raise click.UsageError(
            "no terminal to ask for the value; give --from-file, or - for a pipe"
        )
    text: str = click.prompt("New value", hide_input=True, confirmation_prompt=True, err=True)
    return SecretBytes(text.encode())
