"""Commands of ``volary usage``: show what attempts used, and export a month."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from controlplane.cli.calls import Column, Platform, read, with_platform
from controlplane.cli.tables import table

_DIMENSIONS = ("day", "project", "domain", "task", "cluster", "queue")
_AMOUNTS = (
    ("attempts", "attempts"),
    ("action_seconds", "actionSeconds"),
    ("cpu_seconds", "cpuSeconds"),
    ("memory_gib_seconds", "memoryGibSeconds"),
    ("accelerator_seconds", "acceleratorSeconds"),
)


@click.group()
def usage() -> None:
    """Show what attempts used, and export a month of it."""


@usage.command()
@click.option("--month", default="", help="As in 2026-11.  [default: this month]")
@click.option("--project", default="", help="Only this project.")
@click.option(
    "--by",
    "group_by",
    multiple=True,
    type=click.Choice(_DIMENSIONS),
    default=("project",),
    show_default=True,
    help="Sum by this; may be repeated.",
)
@with_platform
def show(platform: Platform, *, month: str, project: str, group_by: Sequence[str]) -> None:
    """Show sums of a month, the largest first; up to 1,000 rows."""
    answer = platform.call(
        "UsageService/GetUsage", month=month, project=project, groupBy=list(group_by), limit=1000
    )
    columns: list[Column] = [(each.upper(), read(each, "")) for each in group_by]
    columns += [
        (name.upper().replace("_", " "), read(f"amounts.{field}", 0)) for name, field in _AMOUNTS
    ]
    rows = [*answer.get("rows", ()), {group_by[0]: "(all)", "amounts": answer.get("total", {})}]
    titles = [title for title, _ in columns]
    platform.answer(answer, table(titles, [[of(row) for _, of in columns] for row in rows]))
    if not answer.get("complete") and not platform.json:
        click.echo("There are more rows; see volary usage export.", err=True)


@usage.command()
@click.option("--month", required=True, help="As in 2026-11.")
@click.option("--project", default="", help="Only this project.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "json"]),
    default="csv",
    show_default=True,
    help="json: one object a line.",
)
@with_platform
def export(platform: Platform, *, month: str, project: str, form: str) -> None:
    """
    Print a month's usage by day, project, domain, task, cluster and queue.

    A month is final once all attempts that ran in it have ended; they count when they end.
    """
    pages = platform.pages("UsageService/ListUsage", "rows", month=month, project=project)
    rows = (_flat(row) for page in pages for row in page)
    for line in _json_lines(rows) if form == "json" or platform.json else _csv_lines(rows):
        click.echo(line)


def _flat(row: Any) -> dict[str, object]:
    amounts = row.get("amounts", {})
    return {
        **{name: row.get(name, "") for name in _DIMENSIONS},
        **{name: float(amounts.get(field, 0)) for name, field in _AMOUNTS},
        "attempts": int(amounts.get("attempts", 0)),
    }


def _json_lines(rows: Iterator[dict[str, object]]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row)


def _csv_lines(rows: Iterator[dict[str, object]]) -> Iterator[str]:
    names = [*_DIMENSIONS, *(name for name, _ in _AMOUNTS)]
    yield ",".join(names)
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([row[name] for name in names])
        yield line.getvalue()
