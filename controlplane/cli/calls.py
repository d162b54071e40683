"""
Common parts of the commands of the platform API: where they work, pages, tables, JSON.

A command calls the API where there is a login, an address or a key, and works on the database
itself where one is named, or where there is only a ``volary up`` on this machine. Both answer the
same messages (docs/operations.md, "Commands").
"""

import json
import os
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from controlplane.cli.operations import CommandContext
from controlplane.cli.remote import client_errors, read_choice, selection_options
from controlplane.cli.tables import Rows
from controlplane.client.calls import Api, Message
from controlplane.client.contexts import ContextFile, config_file
from controlplane.client.errors import ClientError
from controlplane.client.selection import Choice, select

P = ParamSpec("P")
T = TypeVar("T")

_PACKAGE = "volary.platform.v1."
_PAGE_SIZE = 200
_DATABASE_URL = "VOLARY_DATABASE_URL"
_DEFAULT_ORG = "local"

Column = tuple[str, Callable[[Message], object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The platform API for one command, and how its answers are printed."""

    api: Api
    json: bool
    confirmed: bool = False

    def call(self, method: str, **request: object) -> Message:
        """
        Call a method, as in ``ClusterService/GetCluster``; a field of None is not sent.

        One with a package, as in ``flyteidl2.org.DomainService/ListDomains``, is called as it is.
        """
        return self.api.call(_full_name(method), _without_none(request))

    def create(self, method: str, **request: object) -> Message:
        """Call a create that may be sent twice, with an id by which it is recognised."""
        return self.call(method, requestId=str(uuid.uuid4()), **request)

    def stream(self, method: str, **request: object) -> Iterator[Message]:
        return self.api.stream(_full_name(method), _without_none(request))

    def pages(self, method: str, rows: str, **request: object) -> Iterator[Sequence[Any]]:
        """Yield the rows of each page of a list, one page in memory at a time."""
        token = ""
        while True:
            page = self.call(method, pageSize=_PAGE_SIZE, pageToken=token, **request)
            yield page.get(rows, ())
            token = page.get("nextPageToken", "")
            if not token:
                return

    def answer(self, message: Message, lines: Iterable[str]) -> None:
        """Print an answer, as JSON with ``--output json``."""
        if self.json:
            click.echo(json.dumps(message, indent=2))
            return
        for line in lines:
            click.echo(line)

    def list(
        self,
        method: str,
        rows: str,
        columns: Sequence[Column],
        *,
        head: Message | None = None,
        **request: object,
    ) -> None:
        """
        Print a list page by page: as a table, or as one JSON object with all its rows.

        ``head``: other fields of the JSON object; an empty table has no titles then.
        """
        pages = self.pages(method, rows, **request)
        if self.json:
            _print_json(head or {}, rows, (row for page in pages for row in page))
            return
        table = Rows([title for title, _ in columns])
        for page in pages:
            for line in table.render([[read(row) for _, read in columns] for row in page]):
                click.echo(line)
        for line in () if head else table.end():
            click.echo(line)

    def confirm(self, question: str) -> None:
        """Ask before an act that cannot be undone; programs give --yes."""
        if self.confirmed:
            return
        if not sys.stdin.isatty():
            raise ClientError(f"{question} Give --yes, because there is no terminal to ask.")
        click.confirm(question, abort=True, err=True)


def read(path: str, default: object = None) -> Callable[[Message], object]:
    """Return a reader of a field, as in ``load.leased``; JSON leaves out default values."""

    def find(message: Message) -> object:
        found: Any = message
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
            if found is None:
                return default
        return found

    return find


def time_of(path: str) -> Callable[[Message], object]:
    """Return a reader of a timestamp, to the second."""
    find = read(path)

    def show(message: Message) -> object:
        text = find(message)
        return f"{text[:19].replace('T', ' ')} UTC" if isinstance(text, str) else None

    return show


def with_platform(command: Callable[Concatenate[Platform, P], T]) -> Callable[P, T]:
    """Add the common options to a command, and pass it the API that they select."""

    @click.option(
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="table for people, json for programs.",
    )
    @click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Work on the database of a volary up.  [default: ~/.volary, if nothing is selected]",
    )
    @click.option(
        "--database-url", default="", help=f"Work on a Postgres.  [env var: {_DATABASE_URL}]"
    )
    @selection_options
    @wraps(command)
    def run_with_platform(*args: P.args, **options: P.kwargs) -> T:
        remaining: dict[str, object] = dict(options)
        as_json = remaining.pop("output") == "json"
        confirmed = bool(remaining.pop("yes", False))
        directory, url = remaining.pop("data_dir"), str(remaining.pop("database_url"))
        with (
            client_errors(),
            _open(
                read_choice(remaining), directory if isinstance(directory, Path) else None, url
            ) as api,
        ):
            platform = Platform(api=api, json=as_json, confirmed=confirmed)
            return command(platform, *args, **remaining)  # type: ignore[arg-type]  # its own

    return run_with_platform


yes = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
"""Option of commands that call ``Platform.confirm``."""


@contextmanager
def _open(choice: Choice, directory: Path | None, url: str) -> Iterator[Api]:
    if not _is_direct(choice, directory, url):
        selected = select(os.environ, choice)
        try:
            yield selected.api
        finally:
            selected.connection.close()
        return
    from controlplane.cli.operators import open_platform  # noqa: PLC0415 - a second

    context = CommandContext(
        data_directory=directory,
        database_url=url or ("" if directory else os.environ.get(_DATABASE_URL, "")),
        org=choice.org or _DEFAULT_ORG,
        json=False,
    )
    with open_platform(context) as api:
        yield api


def _is_direct(choice: Choice, directory: Path | None, url: str) -> bool:
    """Return whether a command works on the database; an option wins over every variable."""
    if directory is not None or url:
        return True
    if choice.is_by_option:
        return False
    named = bool(os.environ.get(_DATABASE_URL))
    if named and choice.is_remote:
        raise ClientError(
            f"{_DATABASE_URL} and a variable that names a control plane are both set; unset one, "
            "or give --url or --database-url"
        )
    if named or choice.is_remote:
        return named
    return not ContextFile(config_file(os.environ)).read().current


def _full_name(method: str) -> str:
    return method if "." in method else _PACKAGE + method


def _without_none(request: Mapping[str, object]) -> Message:
    return {name: value for name, value in request.items() if value is not None}


def _print_json(head: Message, name: str, rows: Iterable[Any]) -> None:
    """Print ``{…head, name: rows}`` row by row, so that a long list is never in memory."""
    fields = "".join(f"{json.dumps(key)}: {json.dumps(value)}, " for key, value in head.items())
    click.echo(f"{{{fields}{json.dumps(name)}: [", nl=False)
    separator = "\n"
    for row in rows:
        click.echo(separator + json.dumps(row), nl=False)
        separator = ",\n"
    click.echo("\n]}")
