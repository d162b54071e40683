"""
Contexts: the control planes and orgs that a person has logged in to, in one file.

``$XDG_CONFIG_HOME/volary/config`` holds refresh tokens, so only its owner may read it. Each
change is made under a lock and replaces the file as a whole: a program that dies leaves the file
as it was, or changed, never a part of it.
"""

import fcntl
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from controlplane.client.errors import ClientError, LoginRequiredError
from shared.kit.secrets import SecretText

_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:\[\]-]{0,199}")
_NONE = SecretText("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One login: an org at a control plane; without tokens where there are no logins."""

    url: str
    org: str = ""
    subject: str = ""
    ca_file: str = ""
    access_token: SecretText = _NONE
    expires_at: float = 0.0  # of the access token, in seconds since 1970 by this machine's clock
    refresh_token: SecretText = _NONE


@dataclass(frozen=True, slots=True)
class Contexts:
    """The content of the file."""

    current: str = ""
    by_name: Mapping[str, Context] = field(default_factory=dict)

    def with_context(self, name: str, context: Context) -> "Contexts":
        """Add or replace a context, and make it the current one."""
        return Contexts(name, {**self.by_name, name: context})

    def without(self, name: str) -> "Contexts":
        left = {each: context for each, context in self.by_name.items() if each != name}
        return Contexts("" if self.current == name else self.current, left)


def config_file(environment: Mapping[str, str]) -> Path:
    """Return the file of contexts: below XDG_CONFIG_HOME, or ~/.config."""
    home = environment.get("XDG_CONFIG_HOME", "")
    base = Path(home) if Path(home).is_absolute() else Path("~/.config").expanduser()
    return base / "volary" / "config"


def parse_name(name: str) -> str:
    """Return the name of a context; ClientError if it is not one."""
    if not _NAME.fullmatch(name):
        raise ClientError(
            f"{name[:200]!r} is no name of a context; use letters, digits and . _ @ : -"
        )
    return name


class ContextFile:
    """Reads and changes the file of contexts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Contexts:
        """Return the contexts; none if there is no file. ClientError if it cannot be used."""
        try:
            text = self.path.read_text()
        except FileNotFoundError:
            return Contexts()
        except (OSError, UnicodeDecodeError) as error:
            raise ClientError(f"{self.path} cannot be read: {error}") from error
        try:
            return _parse(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError, ClientError) as error:
            raise ClientError(
                f"{self.path} is not a file of contexts of this release; move it away, and log "
                "in again with `volary login`"
            ) from error

    def require_usable(self) -> None:
        """Raise ClientError if the file cannot be read, or its directory not be written."""
        self.read()
        with self._lock(self.path.with_name("config.lock")):
            pass

    def change(self, change: Callable[[Contexts], Contexts]) -> Contexts:
        """Replace the file by what ``change`` makes of it; programs take turns."""
        with self._lock(self.path.with_name("config.lock")):
            changed = change(self.read())
            self._write(changed)
            return changed

    def require(self, name: str) -> Context:
        """Return a context; LoginRequiredError if it is not there (any more)."""
        found = self.read().by_name.get(name)
        if found is None:
            raise LoginRequiredError(f"there is no context {name}; log in with `volary login`")
        return found

    def save_tokens(
        self, name: str, *, access_token: SecretText, expires_at: float, refresh_token: SecretText
    ) -> Context:
        """Store the tokens of a context that was refreshed, unless it was logged out meanwhile."""

        def save(contexts: Contexts) -> Contexts:
            if name not in contexts.by_name:
                raise LoginRequiredError(f"context {name} was logged out; run `volary login`")
            changed = replace(
                contexts.by_name[name],
                access_token=access_token,
                expires_at=expires_at,
                refresh_token=refresh_token,
            )
            return Contexts(contexts.current, {**contexts.by_name, name: changed})

        return self.change(save).by_name[name]

    @contextmanager
    def refreshing(self, name: str) -> Iterator[None]:
        """Let one program at a time refresh a context; others wait, and find its new tokens."""
        with self._lock(self.path.with_name(f"config.{parse_name(name)}.lock")):
            yield

    @contextmanager
    def _lock(self, path: Path) -> Iterator[None]:
        """Hold the lock of a file, which ends with the process, however it ends."""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ClientError(f"{path} cannot be made: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, contexts: Contexts) -> None:
        try:
            descriptor, name = tempfile.mkstemp(prefix=".config-", dir=self.path.parent)
        except OSError as error:
            raise ClientError(f"{self.path} cannot be written: {error.strerror}") from error
        new = Path(name)
        try:
            with os.fdopen(descriptor, "w") as file:  # mkstemp: mode 0600
                json.dump(_render(contexts), file, indent=2)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError as error:
            raise ClientError(f"{self.path} cannot be written: {error.strerror}") from error
        finally:
            new.unlink(missing_ok=True)


def _parse(stored: Any) -> Contexts:
    if stored["version"] != _VERSION:
        raise ValueError("another version")
    found = {parse_name(name): _parse_context(each) for name, each in stored["contexts"].items()}
    return Contexts(str(stored.get("current", "")), found)


def _parse_context(stored: Any) -> Context:
    return Context(
        url=str(stored["url"]),
        org=str(stored.get("org", "")),
        subject=str(stored.get("subject", "")),
        ca_file=str(stored.get("ca_file", "")),
        access_token=SecretText(str(stored.get("access_token", ""))),
        expires_at=float(stored.get("expires_at", 0)),
        refresh_token=SecretText(str(stored.get("refresh_token", ""))),
    )


def _render(contexts: Contexts) -> Mapping[str, Any]:
    return {
        "version": _VERSION,
        "current": contexts.current,
        "contexts": {
            name: {
                key: value.reveal() if isinstance(value, SecretText) else value
                for key in _FIELDS
                if (value := getattr(context, key))
            }
            for name, context in sorted(contexts.by_name.items())
        },
    }


_FIELDS = tuple(each.name for each in fields(Context))
