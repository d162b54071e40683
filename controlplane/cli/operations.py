"""What all operators' commands have in common: where they look, and how they answer."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar
from uuid import UUID

import click

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """Where a command was told to look, and how to answer."""

    data_directory: Path | None
    database_url: str
    org: str
    json: bool

    def answer(self, value: object, text: Iterable[str]) -> None:
        """Print the value as JSON, if that was asked for; else the lines."""
        if self.json:
            click.echo(json.dumps(_plain(value), indent=2))
            return
        for line in text:
            click.echo(line)


def with_context(command: Callable[Concatenate[CommandContext, P], T]) -> Callable[P, T]:
    """Give a command the options that all operators' commands have, as its Desk."""

    @click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Of the volary up that is meant.  [default: ~/.volary, unless a database is named]",
    )
    @click.option(
        "--database-url",
        default="",
        envvar="VOLARY_DATABASE_URL",
        help="The control plane's Postgres, as its application's role.",
    )
    @click.option(
        "--org", default="local", envvar="VOLARY_ORG", show_default=True, help="Whose it is."
    )
    @click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="For people, or for programs.",
    )
    @wraps(command)
    def run_with_context(*args: P.args, **options: P.kwargs) -> T:
        given: dict[str, object] = dict(options)
        context = CommandContext(
            data_directory=_path(given.pop("data_dir")),
            database_url=str(given.pop("database_url")),
            org=str(given.pop("org")),
            json=given.pop("output") == "json",
        )
        return command(context, *args, **given)  # type: ignore[arg-type]  # what click has left

    return run_with_context


def _path(value: object) -> Path | None:
    return value if isinstance(value, Path) else None


class Duration(click.ParamType[timedelta]):
    """``90s``, ``10m``, ``2h`` or a number of seconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        text = str(value).strip()
        unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
        number = text[:-1] if unit else text
        if not number.isdecimal() or len(number) > 9:
            self.fail(f"{text!r} is no duration; write 90s, 10m or 2h", param, ctx)
        return timedelta(seconds=int(number) * (unit or 1))


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[str]:
    """Lay out rows below their titles, each column as wide as it has to be."""
    lines = [list(titles), *([_word(cell) for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(titles))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join(cells).rstrip()


def render_fields(values: Mapping[str, object]) -> Iterable[str]:
    """Lay out names and values, one pair a line."""
    width = max(len(name) for name in values)
    for name, value in values.items():
        yield f"{name.ljust(width)}  {_word(value)}".rstrip()


def ago(at: datetime | None, now: datetime) -> str:
    """Say how long ago that was."""
    return "never" if at is None else f"{span(now - at)} ago"


def span(length: timedelta) -> str:
    """Say how long, in the two largest units that matter."""
    seconds = max(0, int(length.total_seconds()))
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes}m"
    if minutes:
        return f"{minutes}m {seconds % 60}s"
    return f"{seconds}s" if seconds else f"{max(0.0, length.total_seconds()):.1f}s"


def _word(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat(timespec="seconds")
        case _:
            return str(value)


def _plain(value: object) -> object:
    """Return a value as JSON has it: instants in ISO 8601, durations in seconds."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    match value:
        case Enum():
            return value.name.lower() if isinstance(value.value, int) else value.value
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case UUID():
            return str(value)
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case str() | None | bool() | int() | float():
            return value
        case Iterable():
            return [_plain(each) for each in value]
        case _:
            return str(value)
