"""Options and errors of the commands that call a control plane over HTTP."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import click

from controlplane.cli.tables import printable
from controlplane.client.errors import ClientError
from controlplane.client.selection import API_KEY, Choice
from shared.kit.secrets import SecretText

P = ParamSpec("P")
T = TypeVar("T")

INTERRUPTED = 130
_MAX_KEY_BYTES = 8192


@contextmanager
def client_errors() -> Iterator[None]:
    """Print an error of the client as one line, and exit with its code (docs/operations.md)."""
    try:
        yield
    except ClientError as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader, such as `head`, has had enough; Python would complain again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(0) from None


def with_choice(command: Callable[Concatenate[Choice, P], T]) -> Callable[P, T]:
    """Add the options that select a control plane and a login, and pass them as its Choice."""

    @selection_options
    @wraps(command)
    def run_with_choice(*args: P.args, **options: P.kwargs) -> T:
        remaining: dict[str, object] = dict(options)
        with client_errors():
            choice = read_choice(remaining)
            return command(choice, *args, **remaining)  # type: ignore[arg-type]  # its own

    return run_with_choice


def selection_options(command: Callable[P, T]) -> Callable[P, T]:
    """Add the options that ``read_choice`` reads."""
    for option in (
        click.option("--context", default="", help="Login to use; see volary context list."),
        click.option("--url", default="", help="Control plane, instead of the current one."),
        click.option("--org", default="", help="Org to act in: one with a login at that place."),
        click.option("--ca-file", default="", help="Certificate (PEM) of a private CA."),
        click.option(
            "--api-key-file",
            type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
            help="File with an API key; -: standard input. Or set VOLARY_API_KEY.",
        ),
    ):
        command = option(command)
    return command


def read_choice(options: dict[str, object]) -> Choice:
    """Take the options of ``with_choice`` out of ``options``, and combine them with variables."""
    given = {name: str(options.pop(name) or "") for name in ("context", "url", "org", "ca_file")}
    key_file = options.pop("api_key_file")
    environment = dict(os.environ)
    if isinstance(key_file, Path):
        environment[API_KEY] = _read_key(key_file).reveal()
    choice = Choice.from_environment(environment, **given)
    return replace(choice, is_by_option=choice.is_by_option or key_file is not None)


def _read_key(file: Path) -> SecretText:
    try:
        with click.open_file(str(file)) as opened:
            text = opened.read(_MAX_KEY_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise ClientError(f"{file} cannot be read: {error}") from error
    key = SecretText(text.strip())
    if not key:
        raise ClientError(f"{file} has no API key")
    return key
