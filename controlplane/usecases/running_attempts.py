"""
Use cases of attempts as callers: exchange a lease for an access token, find the caller of a token.

A lease is the first stage of an attempt's credential: it came with the assignment, and the agent
that holds it exchanges it, once it has accepted it, for access tokens. A token is valid as long as
the lease is, which no notification tells: each replica reads the leases of its callers again
more than twice a second, all of them in one statement.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from controlplane.authn.access_tokens import AccessTokens
from controlplane.core.attempt_callers import (
    CLIENT_ID,
    credential_of,
    make_caller,
    parse_lease,
    subject_of,
)
from controlplane.core.callers import Caller, Credential, Subject
from controlplane.core.credentials import ACCESS_TOKENS_LIVE, LEEWAY, Revocation
from controlplane.core.errors import InvalidError, UnauthenticatedError
from controlplane.store.database import Database
from controlplane.store.dispatch import running_attempts as store
from controlplane.store.resources.clusters import ClusterRef
from shared.kit.cache import LruCache
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText
from shared.model.ids import ActionId, AttemptId, LeaseId, OrgName, RunKey

MAX_EXCHANGED = 100
"""Leases in one exchange."""
FRESH_FOR = timedelta(seconds=1)
"""How long an attempt counts as running after it was read."""
READ_EVERY = timedelta(milliseconds=400)

_READ_AT_ONCE = 1_000
_ENDED_REMEMBERED = 10_000
_ENDED = "the attempt has ended, was stopped or lost its lease; its token is not accepted any more"

EndListener = Callable[[Collection[Revocation]], None]
_Key = tuple[OrgName, LeaseId]


@dataclass(frozen=True, slots=True)
class ExchangedToken:
    """The access token of one lease; None if its attempt is not running on the cluster."""

    token: SecretText | None = field(repr=False)
    expires_in: timedelta = timedelta()


class AttemptTokens:
    """Exchanges leases for access tokens; without ``tokens`` there are no logins."""

    def __init__(self, database: Database, tokens: AccessTokens | None) -> None:
        self._database = database
        self._tokens = tokens

    async def exchange(
        self, cluster: ClusterRef, leases: Sequence[tuple[AttemptId, LeaseId]]
    ) -> Sequence[ExchangedToken] | None:
        """Return a token for each lease, in order; None if there are no logins."""
        if len(leases) > MAX_EXCHANGED:
            raise InvalidError(f"at most {MAX_EXCHANGED} leases are exchanged, not {len(leases)}")
        if self._tokens is None:
            return None
        async with self._database.for_org(cluster.org) as tx:
            running = await store.find_running(
                tx, [(attempt.action, lease) for attempt, lease in leases], cluster=cluster.name
            )
        return [
            self._issue(self._tokens, cluster.org, attempt, lease)
            if lease in running and running[lease].id == attempt
            else ExchangedToken(None)
            for attempt, lease in leases
        ]

    def _issue(
        self, tokens: AccessTokens, org: OrgName, attempt: AttemptId, lease: LeaseId
    ) -> ExchangedToken:
        credential = credential_of(lease)
        token = tokens.issue(
            subject=subject_of(attempt.action),
            org=org,
            client_id=CLIENT_ID,
            credential=credential,
        )
        return ExchangedToken(token, timedelta(seconds=tokens.lifetime_of(credential)))


@dataclass(frozen=True, slots=True)
class _Known:
    """An attempt that has called this replica, and is read again until its tokens have expired."""

    caller: Caller
    action: ActionId
    read_at: datetime
    expires_at: datetime


class RunningAttempts:
    """The attempts that call this replica; ``refresh`` reads again which of them are running."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[_Key, _Known] = {}
        # A lease does not come back, so those that have ended cost one read.
        self._ended: LruCache[_Key, None] = LruCache(_ENDED_REMEMBERED)
        self._listeners: list[EndListener] = []

    def listen(self, listener: EndListener) -> None:
        """Call ``listener`` with the credentials of attempts that have ended."""
        self._listeners.append(listener)

    async def find(self, org: OrgName, subject: Subject, credential: Credential) -> Caller:
        """Return the caller of an attempt's token; UnauthenticatedError if it is not running."""
        named = parse_lease(subject, credential.id)
        if named is None:
            raise UnauthenticatedError("the access token names no attempt")
        action, lease = named
        key = (org, lease)
        now = self._clock.now()
        expires_at = credential.expires_at or now + ACCESS_TOKENS_LIVE + LEEWAY
        known = self._known.get(key)
        if known is not None and now - known.read_at <= FRESH_FOR:
            if known.expires_at < expires_at:
                self._known[key] = replace(known, expires_at=expires_at)
            return known.caller
        if key in self._ended:
            raise UnauthenticatedError(_ENDED)
        async with self._database.for_org(org) as tx:
            running = (await store.find_running(tx, [(action, lease)])).get(lease)
        if running is None:
            self._end([key])
            raise UnauthenticatedError(_ENDED)
        caller = make_caller(org, running)
        self._known[key] = _Known(caller, action, now, expires_at)
        return caller

    async def refresh(self) -> None:
        """Read all known attempts again, and end those that do not run any more."""
        now = self._clock.now()
        expired = [key for key, known in self._known.items() if known.expires_at <= now]
        for key in expired:
            del self._known[key]
        keys = list(self._known)
        for start in range(0, len(keys), _READ_AT_ONCE):
            await self._refresh(keys[start : start + _READ_AT_ONCE])

    async def _refresh(self, keys: Sequence[_Key]) -> None:
        read_at = self._clock.now()
        leases = [
            (org, known.action, lease)
            for org, lease in keys
            if (known := self._known.get((org, lease))) is not None
        ]
        async with self._database.for_fleet("read which of the calling attempts run") as tx:
            running = await store.list_still_running(tx, leases)
        for org, _, lease in leases:
            known = self._known.get((org, lease))
            if known is not None and (org, lease) in running:
                self._known[org, lease] = replace(known, read_at=read_at)
        self._end([(org, lease) for org, _, lease in leases if (org, lease) not in running])

    def _end(self, keys: Sequence[_Key]) -> None:
        """Forget the attempts, and end their streams."""
        if not keys:
            return
        ended = []
        for org, lease in keys:
            self._known.pop((org, lease), None)
            self._ended[org, lease] = None
            credential = credential_of(lease)
            until = self._clock.now() + ACCESS_TOKENS_LIVE + LEEWAY
            ended.append(Revocation(org, credential.kind, credential.id, until))
        for listener in self._listeners:
            listener(ended)

    async def is_started_by(self, caller: Caller, run: RunKey, own: RunKey) -> bool:
        """Return whether ``run`` was started by a task of ``own``, directly or through other runs."""
        async with self._database.for_org(caller.org) as tx:
            return await store.is_started_by(tx, run, own)
