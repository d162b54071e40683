"""Use cases of deleting an org, and of restoring it before its data is erased."""

import logging
from datetime import timedelta

from controlplane.core.callers import EVERYTHING, Caller, Permission
from controlplane.core.credentials import EndedLogins
from controlplane.core.deleted_orgs import AGENTS_STOP_WITHIN, DEFAULT_GRACE, explain_deletion
from controlplane.core.errors import ConflictError, InvalidError, NotAllowedError, NotFoundError
from controlplane.core.identity import Org, require_version
from controlplane.store.credentials import login_revocations
from controlplane.store.credentials.login_revocations import LoginRevocation
from controlplane.store.database import Database, OrgTx
from controlplane.store.identity import deleted_orgs as store, orgs
from controlplane.store.notify.changes import notify_grants, notify_own_work, notify_revoked
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock
from shared.model.ids import OrgName

log = logging.getLogger(__name__)


class OrgDeletion:
    """
    Use cases of deletion; ``loops.deleted_orgs`` does what follows.

    ``own``: the org that the installation itself has, without which it does not start; None where
    that is not known. ``grace``: how long a deleted org can be restored.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        own: OrgName | None = None,
        grace: timedelta = DEFAULT_GRACE,
    ) -> None:
        self._database = database
        self._clock = clock
        self._own = own
        self._grace = grace

    async def delete(self, caller: Caller, name: str, version: int | None = None) -> Org:
        """
        Delete the caller's org: from this commit on it accepts no credential and admits no work.

        ``name``: the org's, typed again. The one row that this writes is what every credential of
        the org is checked by. Idempotent. InvalidError: another name. NotAllowedError: not an owner.
        ConflictError: ``version`` is not the current one, or the org is the installation's own.
        """
        caller.require(Permission.ORG_WRITE)
        org = caller.org
        if name != org:
            raise InvalidError(
                f"name: type {org}, the name of the org that is deleted, not {name[:80]!r}"
            )
        if any(not caller.may(each) for each in EVERYTHING):
            raise NotAllowedError(f"only an owner of org {org} can delete it")
        now = self._clock.now()
        async with self._database.for_org(org) as tx:
            found = await _lock(tx)
            if found.deletion is not None:
                return found
            require_version(f"org {org}", found.version, version)
            if org == self._own or not found.created_by:
                raise ConflictError(
                    f"org {org} is the one that this installation starts with (VOLARY_ORG), and"
                    " cannot be deleted; delete the installation instead"
                )
            await store.begin_deletion(
                tx,
                by=caller.subject,
                agents_until=now + AGENTS_STOP_WITHIN,
                erase_at=now + self._grace,
                now=now,
            )
            await login_revocations.begin(tx, LoginRevocation(org, EndedLogins.OF_ORG), now)
            await notify_grants(tx)
            await notify_revoked(tx, org)  # the loop that ends its agents goes on at once
            deleted = await _lock(tx)
            await self._record(tx, caller, "org.delete", deleted)
        log.warning("org deleted", extra={"org": org, "by": caller.subject})
        return deleted

    async def restore(self, caller: Caller) -> Org:
        """
        Restore an org that was deleted; for operators.

        People log in again; keys and agents are accepted again; runs stay aborted. NotFoundError;
        ConflictError: it is not deleted, or its erasure has begun.
        """
        caller.require_all(EVERYTHING)
        org = caller.org
        async with self._database.for_org(org) as tx:
            found = await _lock(tx)
            if found.deletion is None:
                raise ConflictError(f"org {org} is not deleted")
            if found.deletion.is_final:
                raise ConflictError(explain_deletion(org, found.deletion))
            await store.call_off(tx)
            await notify_grants(tx)
            await notify_own_work(tx)
            restored = await _lock(tx)
            await self._record(tx, caller, "org.restore", restored)
        log.warning("org restored", extra={"org": org, "by": caller.subject})
        return restored

    async def _record(self, tx: OrgTx, caller: Caller, action: str, org: Org) -> None:
        detail = {}
        if org.deletion is not None:
            detail = {"erase_at": org.deletion.erase_at.isoformat()}
        await record(tx, self._clock, caller, action, f"org:{org.name}", detail=detail)


async def _lock(tx: OrgTx) -> Org:
    found = await orgs.find_org(tx, lock=True)
    if found is None:
        raise NotFoundError("org", tx.org)
    return found
