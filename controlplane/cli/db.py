"""Commands of the database's owner: upgrade the schema, check it, list its history."""

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from controlplane.cli import tables
from controlplane.cli.user_errors import user_errors

if TYPE_CHECKING:
    from controlplane.store.migrations.checks import Check, PastStep


@click.group()
def db() -> None:
    """Upgrade, check and describe the schema; addresses come from VOLARY_OWNER_DATABASE_URL."""


@db.command()
@click.option(
    "--until-contract",
    is_flag=True,
    help="Stop before the first step that removes something earlier releases use.",
)
def upgrade(*, until_contract: bool) -> None:
    """
    Upgrade the schema to this release, as the database's owner.

    One program at a time: another one waits. Killed in the middle, it goes on when it runs again.
    Refuses, before it changes anything, if a contract step would break a replica that is connected.
    """
    run_upgrade(until_contract=until_contract)


def run_upgrade(*, until_contract: bool = False) -> None:
    """Upgrade, and print each step."""
    with _of_owner() as url:
        from controlplane.core import schema_steps  # noqa: PLC0415
        from controlplane.store import migrations  # noqa: PLC0415
        from controlplane.store.migrations.checks import read_revision  # noqa: PLC0415
        from controlplane.store.migrations.steps import steps_of_release  # noqa: PLC0415

        revision, left = "head", 0
        if until_contract:
            pending = schema_steps.pending_steps(
                steps_of_release(), asyncio.run(read_revision(url))
            )
            chosen = schema_steps.until_contract(pending)
            left = len(pending) - len(chosen)
            if pending and not chosen:
                click.echo(f"Nothing was run: the next step is {pending[0]}.")
                return
            revision = chosen[-1].revision if chosen else "head"
        migrations.upgrade(url, revision, report=click.echo)
        if left:
            click.echo(f"Stopped before the first contract step; {left} left to run.")
        else:
            click.echo("The schema is up to date.")


@db.command()
def check() -> None:
    """
    Print what an upgrade would run and lock, and what is wrong; changes nothing.

    Exits with 1 unless this release can serve on the database as it is.
    """
    with _of_owner() as url:
        from controlplane.store.migrations import checks, config  # noqa: PLC0415

        found = asyncio.run(checks.check(url, config(url)))
        for line in _render(found):
            click.echo(line)
        if found.problems:
            raise SystemExit(1)


@db.command()
def history() -> None:
    """List the steps that were run: when, by which release, for how long."""
    with _of_owner() as url:
        from controlplane.store.migrations import checks  # noqa: PLC0415

        past = asyncio.run(checks.read_history(url))
        for line in _render_history(past):
            click.echo(line)


def _render(found: "Check") -> Iterator[str]:
    by = f", upgraded by Volary {found.database.release}" if found.database.release else ""
    yield from tables.render_fields(
        {
            "This release": f"Volary {found.release}, schema {found.schema}",
            "Database": f"schema {found.database.revision or 'none'}{by}",
            "Replicas": "; ".join(map(str, found.replicas)) or "none is connected",
            "Pending": "; ".join(map(str, found.pending)) or "nothing",
        }
    )
    if found.locks:
        yield ""
        yield from tables.table(
            ("STEP", "TABLE", "ROWS (ESTIMATED)", "LOCK"),
            ((lock.step.revision, lock.table, rows, lock.mode) for lock, rows in found.locks),
        )
    for problem in [*found.problems, *([found.unsafe] if found.unsafe else [])]:
        yield f"Problem: {problem}"


def _render_history(past: "Sequence[PastStep]") -> Iterable[str]:
    if past:
        yield f"Steps before {past[0].revision} were run before there was a history."
    yield from tables.table(
        ("REVISION", "KIND", "SUBJECT", "BY", "AT", "TOOK"),
        (
            (
                *(each.revision, each.kind, each.subject, f"Volary {each.release}"),
                each.started_at.strftime("%Y-%m-%d %H:%M:%SZ"),
                f"{(each.ended_at - each.started_at).total_seconds():.1f} s",
            )
            for each in past
        ),
    )


@contextmanager
def _of_owner() -> Iterator[str]:
    """Yield the owner's URL of a database that can be used; errors become messages."""
    with user_errors():
        from controlplane.embedded import databases  # noqa: PLC0415
        from controlplane.settings import owner_database_url  # noqa: PLC0415

        url = owner_database_url(os.environ)
        asyncio.run(databases.require_usable(url))
        yield url
