"""
Access tokens for calls: of a stored login, which is refreshed when needed, or of an API key.

The server replaces a refresh token at each use, and takes a second use, after half a minute, for
a theft. So one process at a time refreshes a context, the others take its result, and the new
token is stored before signals can end the process.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from controlplane.client.addresses import parse_address
from controlplane.client.authorization import ApiKey, AuthorizationServer
from controlplane.client.contexts import Context, ContextFile
from controlplane.client.errors import LoginRequiredError
from controlplane.client.http import Connection
from shared.kit.clock import SystemClock
from shared.kit.secrets import SecretText

REFRESH_TIMEOUT_SECONDS = 8.0
"""Three tries end before the server's thirty seconds in which it repeats an answer."""
_EARLY_SECONDS = 20.0
"""A token is replaced this long before it expires, so that it does not on its way."""
_DEFERRED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Credentials(Protocol):
    def token(self, refused: SecretText | None = None) -> SecretText | None:
        """Return the access token, another one than ``refused``; None: calls are anonymous."""
        ...


class NoCredentials:
    """Of a control plane without logins."""

    def token(self, refused: SecretText | None = None) -> SecretText | None:
        if refused is not None:
            raise LoginRequiredError("the control plane requires a login; run `volary login`")
        return None


class KeyCredentials:
    """Of an API key; its access token is kept in memory only."""

    def __init__(self, connection: Connection, key: ApiKey) -> None:
        self._server = AuthorizationServer(connection)
        self._key = key
        self._token: SecretText | None = None

    def token(self, refused: SecretText | None = None) -> SecretText | None:
        if self._token is None or self._token == refused:
            self._token = self._server.exchange_key(self._key).access_token
        return self._token


class StoredCredentials:
    """Of a context in the file."""

    def __init__(self, file: ContextFile, name: str) -> None:
        self._file = file
        self._name = name

    def token(self, refused: SecretText | None = None) -> SecretText | None:
        context = self._file.require(self._name)
        if not context.refresh_token:
            return NoCredentials().token(refused)
        if _is_usable(context, refused):
            return context.access_token
        with self._file.refreshing(self._name):
            context = self._file.require(self._name)
            if not _is_usable(context, refused):  # no other process has refreshed it meanwhile
                context = self._refresh(context)
        return context.access_token

    def _refresh(self, context: Context) -> Context:
        ca_file = Path(context.ca_file) if context.ca_file else None
        connection = Connection(
            parse_address(context.url), ca_file, timeout=REFRESH_TIMEOUT_SECONDS
        )
        try:
            with _signals_deferred():
                tokens = AuthorizationServer(connection).refresh(context.refresh_token)
                return self._file.save_tokens(
                    self._name,
                    access_token=tokens.access_token,
                    expires_at=tokens.expires_at,
                    refresh_token=tokens.refresh_token or context.refresh_token,
                )
        except LoginRequiredError as error:
            raise LoginRequiredError(
                f"the login to {context.url} has ended ({error}); run `volary login {context.url}`"
            ) from error
        finally:
            connection.close()


def _is_usable(context: Context, refused: SecretText | None) -> bool:
    now = SystemClock().now().timestamp()
    return context.access_token != refused and now < context.expires_at - _EARLY_SECONDS


@contextmanager
def _signals_deferred() -> Iterator[None]:
    """Deliver signals that would end the process after the block; it lasts seconds at most."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _DEFERRED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
