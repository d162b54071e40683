"""Turns expected errors of a command into one-line messages instead of tracebacks."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from controlplane.core.backups import BackupError
from controlplane.core.errors import RequestError, UnavailableError, UnfitDatabaseError
from controlplane.embedded.errors import UpError
from shared.kit.settings import SettingsError


@contextmanager
def user_errors() -> Iterator[None]:
    """Raise ClickException with the message of an error that the user can act on."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in {"controlplane", "dataplane", "shared"}:
            raise  # one of our own modules is missing: a bug
        raise click.ClickException(
            f"{error.name} is not installed; pip install 'volary[embedded]'"
        ) from error
    except (
        BackupError,
        RequestError,
        SettingsError,
        UnavailableError,
        UnfitDatabaseError,
        UpError,
    ) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None
