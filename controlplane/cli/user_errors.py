"""How a command ends that cannot do what was asked: with a sentence, not with a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from controlplane.core.errors import RequestError, UnavailableError, UnfitDatabaseError
from controlplane.embedded.errors import UpError
from controlplane.settings import SettingsError


@contextmanager
def user_errors() -> Iterator[None]:
    """End with a sentence instead of a traceback where one is enough to know what to do."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in {"controlplane", "dataplane", "shared"}:
            raise  # ours, and a bug
        raise click.ClickException(
            f"{error.name} is not installed; pip install 'volary[embedded]'"
        ) from error
    except (UpError, SettingsError, RequestError, UnavailableError, UnfitDatabaseError) as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None
