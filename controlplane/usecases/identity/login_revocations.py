"""
Revokes logins of programs by the thousand, in pages.

The transaction that decides it leaves a row (``store.credentials.login_revocations``). Its process
revokes the pages at once; if that process dies, the loop of any replica revokes the rest.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from controlplane.core.credentials import EndedLogins
from controlplane.store.credentials import login_revocations as store, token_families
from controlplane.store.credentials.login_revocations import LoginRevocation
from controlplane.store.database import Database, FleetTx
from controlplane.store.identity import browser_sessions, provider_logins
from shared.kit.clock import Clock

log = logging.getLogger(__name__)

PAGE = 200
"""Logins that one transaction revokes."""

OTHER_PROVIDER = "the org requires its own identity provider"
ORG_DELETED = "the org was deleted"
PROVIDER_REMOVED = "the identity provider was removed or disabled"


class LoginRevocations:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def finish(self, which: LoginRevocation, *, wait: bool = True) -> int:
        """
        Revoke all that is left, in pages; return how many. Safe on every replica at once.

        ``wait``: for a page of another process; otherwise leave the rest to that process.
        """
        ended, is_last = 0, False
        while not is_last:
            async with self._database.for_fleet("revoke logins of an org") as fleet:
                if not await store.lock(fleet, which, wait=wait):
                    break
                revoked = await self._revoke_page(fleet, which)
                is_last = revoked < PAGE
                if is_last:
                    await _end_sessions(fleet, which, self._clock.now())
                    await store.end(fleet, which)
            ended += revoked
        log.info(
            "logins revoked",
            extra={
                "org": which.org,
                "logins": which.logins.value,
                "provider": str(which.provider),
                "count": ended,
            },
        )
        return ended

    async def list_begun(self, after: LoginRevocation | None) -> Sequence[LoginRevocation]:
        """List a page of the revocations, of all orgs, that no process has finished."""
        async with self._database.for_fleet("list revocations of logins") as fleet:
            return await store.list_begun(fleet, after=after, most=PAGE)

    async def _revoke_page(self, fleet: FleetTx, which: LoginRevocation) -> int:
        now, org = self._clock.now(), which.org
        if which.logins is EndedLogins.OF_PROVIDER:
            return await token_families.revoke_at_provider(
                fleet, org, which.provider, PROVIDER_REMOVED, now, most=PAGE
            )
        if which.logins is EndedLogins.OF_ORG:
            return await token_families.revoke_of_org(fleet, org, ORG_DELETED, now, most=PAGE)
        return await token_families.revoke_of_other_providers(
            fleet, org, OTHER_PROVIDER, now, most=PAGE
        )


async def _end_sessions(fleet: FleetTx, which: LoginRevocation, now: datetime) -> None:
    """
    End browser sessions that began at a removed provider, and forget its people's logins there.

    With the last page, because that finds the programs' logins by these rows.
    """
    if which.logins is EndedLogins.OF_PROVIDER:
        await browser_sessions.end_all_sessions_at(fleet, which.provider, now)
        await provider_logins.delete_all_at(fleet, which.provider)
