"""
The revoked credentials that this replica knows of; a loop keeps them up to date.

A revocation is needed only as long as an access token of its credential may be valid, so there
are few: those of the last twenty minutes.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from controlplane.core.callers import Credential
from controlplane.core.credentials import Revocation
from controlplane.core.errors import UnauthenticatedError, UnavailableError
from shared.kit.clock import Clock
from shared.model.ids import OrgName

STALE_AFTER = timedelta(seconds=30)
"""Credentials are not accepted when the revocations were last read longer ago than this."""

RevocationListener = Callable[[Collection[Revocation]], None]

_Key = tuple[str, str, str]


class Revocations:
    """Answers whether a credential was revoked, and tells listeners of new revocations."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._revoked: dict[_Key, datetime] = {}
        self._read_at: datetime | None = None
        self._listeners: dict[RevocationListener, None] = {}

    def add(self, revocations: Collection[Revocation], read_at: datetime) -> int:
        """Take what was read from the database at ``read_at``; return how many are new."""
        self._read_at = read_at
        fresh = [
            each for each in revocations if (each.org, each.kind, each.id) not in self._revoked
        ]
        for each in revocations:
            self._revoked[each.org, each.kind, each.id] = each.expires_at
        if fresh:
            for listener in self._listeners:
                listener(fresh)
        self._forget_expired()
        return len(fresh)

    def require_valid(self, org: OrgName, credential: Credential) -> None:
        """
        Raise UnauthenticatedError if the credential was revoked.

        UnavailableError: the database was not readable for so long that this is not known.
        """
        if (org, credential.kind, credential.id) in self._revoked:
            raise UnauthenticatedError("the credential was revoked; log in again")
        if self._read_at is None or self._clock.now() - self._read_at > STALE_AFTER:
            raise UnavailableError(
                "this replica cannot read which credentials were revoked; try again"
            )

    @contextmanager
    def listening(self, listener: RevocationListener) -> Iterator[None]:
        """Call ``listener`` with new revocations, for the duration of a block."""
        self._listeners[listener] = None
        try:
            yield
        finally:
            del self._listeners[listener]

    def _forget_expired(self) -> None:
        now = self._clock.now()
        for key in [key for key, expires_at in self._revoked.items() if expires_at <= now]:
            del self._revoked[key]
