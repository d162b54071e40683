"""Options, context and output formatting that all operators' commands share."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
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
    """Database, org and output format of a command."""

    data_directory: Path | None
    database_url: str
    org: str
    json: bool

    def answer(self, value: object, text: Iterable[str]) -> None:
        """Print the value as JSON with ``--output json``; else the lines."""
        if self.json:
            click.echo(json.dumps(_plain(value), indent=2))
            return
        for line in text:
            click.echo(line)


def with_context(command: Callable[Concatenate[CommandContext, P], T]) -> Callable[P, T]:
    """Add the common options to a command, and pass them as its CommandContext."""

    @click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Data directory of a running volary up.  [default: ~/.volary, unless a URL is given]",
    )
    @click.option(
        "--database-url",
        default="",
        envvar="VOLARY_DATABASE_URL",
        help="URL of the control plane's Postgres, for its application role.",
    )
    @click.option(
        "--org", default="local", envvar="VOLARY_ORG", show_default=True, help="Org to act in."
    )
    @click.option(
        "--output",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="text for people, json for programs.",
    )
    @wraps(command)
    def run_with_context(*args: P.args, **options: P.kwargs) -> T:
        remaining: dict[str, object] = dict(options)
        context = CommandContext(
            data_directory=_path(remaining.pop("data_dir")),
            database_url=str(remaining.pop("database_url")),
            org=str(remaining.pop("org")),
            json=remaining.pop("output") == "json",
        )
        return command(context, *args, **remaining)  # type: ignore[arg-type]  # its own

    return run_with_context


def _path(value: object) -> Path | None:
    return value if isinstance(value, Path) else None


class Duration(click.ParamType[timedelta]):
    """Option type for durations: ``90s``, ``10m``, ``2h`` or a number of seconds."""

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
            self.fail(f"{text!r} is not a duration; write 90s, 10m or 2h", param, ctx)
        return timedelta(seconds=int(number) * (unit or 1))


def _plain(value: object) -> object:
    """Convert a value for JSON: timestamps in ISO 8601, durations in seconds."""
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
