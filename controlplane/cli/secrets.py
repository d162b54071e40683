"""
Commands of ``volary secret``: list secrets, rotate their values, seal them again.

``flyte create secret`` creates them. A value is read from a file, a pipe or a hidden prompt,
never from an argument, which other users of the machine could see.
"""

import sys
from pathlib import Path
from typing import BinaryIO

import click

from controlplane.cli.operations import CommandContext, with_context
from controlplane.cli.tables import table
from controlplane.core.secrets import SecretStatus, SecretType, parse_secret_name
from shared.kit.secrets import SecretBytes
from shared.model.ids import OrgName

_PAGE = 200


@click.group()
def secret() -> None:
    """List and rotate secrets; seal them again after a change of keys."""


@secret.command("list")
@click.option("--project", default="", help="Only secrets of this project; names a domain too.")
@click.option("--domain", default="", help="Only secrets of this domain and its projects.")
@with_context
def list_(context: CommandContext, *, project: str, domain: str) -> None:
    """List secrets; values are shown nowhere."""
    from controlplane.cli import operators  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        found: list[SecretStatus] = []
        token = ""
        while True:
            page = await operator.secrets.list(
                operator.caller, project=project, domain=domain, limit=_PAGE, token=token
            )
            found += page.rows
            token = page.token
            if not token:
                break
        context.answer(found, _table(found))

    operators.run(context, work)


@secret.command()
@click.argument("name")
@click.option("--project", default="", help="Project of the secret; names a domain too.")
@click.option("--domain", default="", help="Domain of the secret.")
@click.option(
    "--from-file",
    type=click.File("rb"),
    help="File with the value, byte for byte; -: standard input. Default: ask for it.",
)
@with_context
def update(
    context: CommandContext, name: str, *, project: str, domain: str, from_file: BinaryIO | None
) -> None:
    """Replace a secret's value; attempts that start from now on get the new one."""
    from controlplane.cli import operators  # noqa: PLC0415

    value = _read_value(from_file)

    async def work(operator: operators.Operator) -> None:
        named = parse_secret_name(OrgName(context.org), project=project, domain=domain, name=name)
        await operator.secrets.update(operator.caller, named, SecretType.GENERIC, value)
        context.answer({"updated": str(named)}, [f"Secret {named} is updated."])

    operators.run(context, work)


@secret.command()
@click.option(
    "--key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Key file instead of the configured one; its first key seals.",
)
@with_context
def reseal(context: CommandContext, *, key_file: Path | None) -> None:
    """Seal all secrets of all orgs to the current keys, while the control plane serves."""
    from controlplane.cli import operators  # noqa: PLC0415

    async def work(operator: operators.Operator) -> None:
        done = await operator.secrets.reseal()
        lines = [f"{done.resealed} secrets sealed again, {done.current} were current."]
        lines += [f"Not sealed again, update it: {name} ({name.org})" for name in done.left]
        context.answer(done, lines)
        if done.left:
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


def _table(found: "list[SecretStatus]") -> "list[str]":
    return list(
        table(
            ("NAME", "PROJECT", "DOMAIN", "TYPE", "VERSION", "UPDATED", "KEYRING", "CLUSTERS"),
            [
                (
                    *(each.row.name.name, each.row.name.project or "-"),
                    *(each.row.name.domain or "-", each.row.type.name.lower()),
                    *(each.row.version, f"{each.row.updated_at:%Y-%m-%d %H:%M}"),
                    *(each.row.keyring, each.overall.name.lower().replace("_", " ")),
                )
                for each in found
            ],
        )
    )
