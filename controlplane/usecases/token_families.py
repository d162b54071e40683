"""Starts logins by the SDK and CLI, refreshes their tokens, and revokes them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from controlplane.authn.refresh_tokens import make_refresh_token, open_successor, seal_successor
from controlplane.core.callers import Caller
from controlplane.core.errors import NotAllowedError, NotFoundError
from controlplane.core.identity import explain_refusal, find_user_id
from controlplane.core.oauth import (
    LOGIN_LIVES,
    REFRESH_TOKEN_LIVES,
    LiveFamily,
    Login,
    RefreshStatus,
    TokenFamily,
    classify_replaced,
)
from controlplane.store.credentials import token_families as store
from controlplane.store.database import Database, FleetTx
from controlplane.store.identity import orgs, provider_logins
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock
from shared.kit.secrets import SecretText, digest_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A family, and the refresh token that its client uses next."""

    family: TokenFamily
    refresh_token: SecretText


class TokenFamilies:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def start(
        self, family_id: UUID, login: Login, client_id: str, *, peer: str = ""
    ) -> Refreshed:
        """
        Start a family for a login, with its first refresh token.

        ``peer``: the address of the client, for the audit log. No token is given without a record.
        NotAllowedError: there is no such org, or it has come to require its own identity provider,
        and this is another.
        """
        now = self._clock.now()
        family = TokenFamily(
            id=family_id, login=login, client_id=client_id, expires_at=now + LOGIN_LIVES
        )
        token = make_refresh_token()
        async with self._database.for_fleet("start a token family") as tx:
            await store.insert_family(tx, family, now)
            await self._insert(tx, token, family, now)
        await self._record("login.start", family, peer, {"client": client_id})
        # The row is committed, so an org that begins to require its provider now finds it.
        refusal = await self._find_refusal(login)
        if refusal:
            await self.revoke(family_id, refusal, peer=peer)
            raise NotAllowedError(refusal)
        log.info(
            "login started",
            extra={
                "org": login.org,
                "subject": login.subject,
                "client": client_id,
                "family": str(family_id),
            },
        )
        return Refreshed(family, token)

    async def refresh(
        self, token: SecretText, client_id: str, *, peer: str = ""
    ) -> Refreshed | None:
        """
        Replace a refresh token; None if it is not valid.

        The SDK's interceptors refresh concurrently, and a client may not get the answer: for some
        seconds a replaced token gives the same successor again. A token that is presented later is
        in two hands, one of them a thief's: the family is revoked.
        """
        now = self._clock.now()
        successor = make_refresh_token()
        digest = digest_of(token)
        async with self._database.for_fleet("refresh a token") as tx:
            family = await store.replace_token(
                tx, digest, client_id, seal_successor(token, successor), now
            )
            if family is not None:
                await self._insert(tx, successor, family, now)
                user = find_user_id(family.login.subject)
                if user is not None:  # so that their groups are read again
                    await provider_logins.save_seen(tx, user, now, before=now)
                return Refreshed(family, successor)
            found = await store.find_token(tx, digest)
            if found is None or found.family.client_id != client_id or found.family.is_revoked:
                return None
            status = classify_replaced(found.replaced_at, now)
            if status is RefreshStatus.REPEATED and found.successor is not None:
                return Refreshed(found.family, open_successor(token, found.successor))
        if status is RefreshStatus.REUSED:
            await self.revoke(found.family.id, "a refresh token was used twice", peer=peer)
        return None

    async def revoke(
        self, family: UUID, because: str, *, peer: str = "", by: Caller | None = None
    ) -> bool:
        """
        Revoke a login with all its tokens; False if there is none, or it was revoked before.

        ``by``: who does so, for the audit log; None: its person, from ``peer``.
        """
        async with self._database.for_fleet("revoke a token family") as tx:
            revoked = await self._revoke(tx, family, because, self._clock.now())
        if revoked is not None:
            await self._record("login.revoke", revoked, peer, {"reason": because}, by=by)
        return revoked is not None

    async def find(self, token: SecretText) -> TokenFamily | None:
        """Return the family of a refresh token that is valid or was."""
        async with self._database.for_fleet("find a refresh token") as tx:
            found = await store.find_token(tx, digest_of(token))
        return None if found is None else found.family

    async def find_valid(self, token: SecretText) -> tuple[TokenFamily, datetime] | None:
        """Return the family of a refresh token that may be used, and when the token expires."""
        async with self._database.for_fleet("find a refresh token") as tx:
            found = await store.find_token(tx, digest_of(token))
        now = self._clock.now()
        if found is None or found.replaced_at is not None or found.family.is_revoked:
            return None
        if found.expires_at <= now or found.family.expires_at <= now:
            return None
        return found.family, found.expires_at

    async def list_live(self, login: Login) -> Sequence[LiveFamily]:
        """List a person's logins by the SDK and CLI in an org, newest first."""
        async with self._database.for_fleet("list token families") as tx:
            return await store.list_live(tx, login, self._clock.now())

    async def revoke_own(self, login: Login, family: UUID, *, by: Caller | None = None) -> None:
        """Revoke one of a person's logins, ``by`` them or another; NotFoundError if not theirs."""
        if family not in {live.family.id for live in await self.list_live(login)}:
            raise NotFoundError("session", family)
        own = by is None or by.subject == login.subject
        await self.revoke(
            family, "its user ended it" if own else "an administrator ended it", by=by
        )

    async def _find_refusal(self, login: Login) -> str:
        async with self._database.for_org(login.org) as tx:
            org = await orgs.find_org(tx)
        return explain_refusal(login.org, org, login.provider_org)

    async def _insert(
        self, tx: FleetTx, token: SecretText, family: TokenFamily, now: datetime
    ) -> None:
        expires_at = min(now + REFRESH_TOKEN_LIVES, family.expires_at)
        await store.insert_token(tx, digest_of(token), family.id, expires_at, now)

    async def _revoke(
        self, tx: FleetTx, family: UUID, because: str, now: datetime
    ) -> TokenFamily | None:
        revoked = await store.revoke_family(tx, family, because, now)
        if revoked is not None:
            log.warning("login revoked", extra={"family": str(family), "reason": because})
        return revoked

    async def _record(
        self,
        action: str,
        family: TokenFamily,
        peer: str,
        detail: Mapping[str, str],
        *,
        by: Caller | None = None,
    ) -> None:
        """Record what happened to a login in its org's audit log, as done by its person or ``by``."""
        org, subject = family.login.org, family.login.subject
        caller = by or Caller(subject=subject, org=org, name="", peer=peer)
        async with self._database.for_org(org) as tx:
            await record(tx, self._clock, caller, action, f"login:{family.id}", detail=detail)
