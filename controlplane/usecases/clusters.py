"""Use cases of clusters and pools: list, cordon, uncordon, drain, delete, and move to a pool."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from controlplane.core.callers import Caller, Permission
from controlplane.core.clusters import (
    Attestation,
    ClusterChange,
    ClusterStatus,
    Emptying,
    LeasedAttempt,
    PastSession,
    PoolStatus,
    ReportedFindings,
)
from controlplane.core.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    NotReadyError,
)
from controlplane.core.identity import require_version
from controlplane.core.lists import MAX_LIMIT
from controlplane.core.names import parse_pool
from controlplane.store.agents import enrolments
from controlplane.store.agents.findings import find_findings
from controlplane.store.agents.sessions import delete_sessions, list_sessions
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch import drains
from controlplane.store.dispatch.dispatches import return_unaccepted
from controlplane.store.notify.changes import notify_cluster
from controlplane.store.resources import clusters
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock
from shared.model.ids import ClusterName

log = logging.getLogger(__name__)

POLL_INTERVAL = timedelta(seconds=1)
WATCH_INTERVAL = timedelta(seconds=2)
GRACE = timedelta(minutes=2)
"""Grace period of attempts that were asked to stop after the drain's deadline."""

_MOST_NAMED = 20  # names in an error
_WATCH_PAGE = 200
_LATEST = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """Progress of a drain; with an attestation once the cluster is empty."""

    status: ClusterStatus
    remaining: Sequence[LeasedAttempt]
    returned: int = 0  # leases requeued, because the agent had not accepted them
    stopped: int = 0  # attempts asked to stop, because the deadline had passed
    attestation: Attestation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterChanges:
    """Clusters that changed since the last ones; ``is_complete``: the watcher now knows all."""

    changed: Sequence[ClusterStatus]
    removed: Sequence[ClusterName]
    is_complete: bool
    as_of: datetime


class Clusters:
    """Use cases of clusters, for operators."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(
        self, caller: Caller, *, limit: int = MAX_LIMIT, after: str = ""
    ) -> tuple[Sequence[ClusterStatus], str]:
        """List clusters by name; with the name after which the next page begins, or ""."""
        caller.require(Permission.CLUSTER_READ)
        async with self._database.for_org(caller.org) as tx:
            found = await drains.list_clusters(tx, after=after, most=limit + 1)
        return found[:limit], found[limit - 1].name if len(found) > limit else ""

    async def list_pools(
        self, caller: Caller, *, limit: int = MAX_LIMIT, after: str | None = None
    ) -> tuple[Sequence[PoolStatus], str | None]:
        """
        List pools by name, the default pool "" first.

        Returns the name after which the next page begins, too; None at the end.
        """
        caller.require(Permission.CLUSTER_READ)
        async with self._database.for_org(caller.org) as tx:
            found = await drains.list_pools(tx, after=after, most=limit + 1)
        return found[:limit], found[limit - 1].name if len(found) > limit else None

    async def get(self, caller: Caller, name: ClusterName) -> ClusterStatus:
        """Return a cluster's status; NotFoundError lists the existing clusters."""
        caller.require(Permission.CLUSTER_READ)
        async with self._database.for_org(caller.org) as tx:
            return await _get(tx, name)

    async def find_findings(self, caller: Caller, name: ClusterName) -> ReportedFindings | None:
        """Return what a cluster's agent found last; None if it has sent nothing. NotFoundError."""
        caller.require(Permission.CLUSTER_READ)
        async with self._database.for_org(caller.org) as tx:
            await _get(tx, name)
            return await find_findings(tx, name)

    async def list_leased(
        self, caller: Caller, name: ClusterName, *, limit: int = MAX_LIMIT, after: str = ""
    ) -> tuple[Sequence[LeasedAttempt], str]:
        """
        List the attempts that are leased to a cluster, and the token of the next page.

        Attempts of projects that the caller may not read are left out, so a page may have fewer.
        NotFoundError, InvalidError (a token that is none).
        """
        caller.require(Permission.CLUSTER_READ)
        async with self._database.for_org(caller.org) as tx:
            await _get(tx, name)
            found = await drains.list_leased(tx, name, after=_parse_after(after), most=limit + 1)
        page = found[:limit]
        shown = [
            leased
            for _, leased in page
            if caller.may(
                Permission.ACTION_READ, leased.action.run.project, leased.action.run.domain
            )
        ]
        return shown, str(page[-1][0]) if len(found) > limit else ""

    async def list_sessions(
        self, caller: Caller, name: ClusterName, *, limit: int = MAX_LIMIT, after: str = ""
    ) -> tuple[Sequence[PastSession], str]:
        """
        List a cluster's latest sessions, the latest first, and the token of the next page.

        NotFoundError, InvalidError (a token that is none).
        """
        caller.require(Permission.CLUSTER_READ)
        before = _LATEST if not after else _parse_epoch(after)
        async with self._database.for_org(caller.org) as tx:
            await _get(tx, name)
            found = await list_sessions(tx, name, before=before, most=limit + 1)
        return found[:limit], str(found[limit - 1].epoch) if len(found) > limit else ""

    async def watch(self, caller: Caller) -> AsyncIterator[ClusterChanges]:
        """Yield all clusters, page by page, and then what has changed, every WATCH_INTERVAL."""
        caller.require(Permission.CLUSTER_READ)
        known: dict[ClusterName, ClusterStatus] = {}
        is_first = True
        while True:
            now, there, after = self._clock.now(), set[ClusterName](), ""
            while True:
                page, after = await self.list(caller, limit=_WATCH_PAGE, after=after)
                there.update(each.name for each in page)
                changed = [each for each in page if known.get(each.name) != each]
                known.update((each.name, each) for each in changed)
                gone = [] if after else [name for name in known if name not in there]
                for name in gone:
                    del known[name]
                if changed or gone or (is_first and not after):
                    yield ClusterChanges(
                        changed=changed,
                        removed=gone,
                        is_complete=not is_first or not after,
                        as_of=now,
                    )
                if not after:
                    break
            is_first = False
            await self._clock.sleep(WATCH_INTERVAL)

    async def cordon(self, caller: Caller, name: ClusterName) -> ClusterStatus:
        """Lease no more work to the cluster; it keeps the attempts it has."""
        return await self.update(caller, name, ClusterChange(cordoned=True))

    async def uncordon(self, caller: Caller, name: ClusterName) -> ClusterStatus:
        """Lease work to a cordoned or drained cluster again."""
        return await self.update(caller, name, ClusterChange(cordoned=False))

    async def move(self, caller: Caller, name: ClusterName, pool: str) -> ClusterStatus:
        """Move the cluster to another pool; it keeps the attempts it has."""
        return await self.update(caller, name, ClusterChange(pool=pool))

    async def update(
        self,
        caller: Caller,
        name: ClusterName,
        change: ClusterChange,
        version: int | None = None,
    ) -> ClusterStatus:
        """
        Change a cluster's desired state; its agent learns of it within moments.

        NotFoundError, ConflictError (a stale ``version``), InvalidError.
        """
        caller.require(Permission.CLUSTER_WRITE)
        if change.pool is not None:
            parse_pool(change.pool)
        async with self._database.for_org(caller.org) as tx:
            before = await _lock(tx, name)
            require_version(f"cluster {name}", before.version, version)
            acts: dict[str, Mapping[str, str]] = {}
            if change.cordoned and not before.cordoned:
                await drains.cordon(tx, name)
                acts["cluster.cordon"] = {}
            elif change.cordoned is False and (before.cordoned or before.draining_since):
                await drains.uncordon(tx, name)
                acts["cluster.uncordon"] = {}
            if change.pool is not None and change.pool != before.pool:
                await drains.move(tx, name, change.pool)
                acts["cluster.move"] = {"pool": change.pool or "default"}
            after = await _get(tx, name)
            for act, detail in acts.items():
                target = f"cluster:{name}"
                await record(tx, self._clock, caller, act, target, detail=detail)
        log.info("cluster changed", extra={"cluster": name, "by": caller.subject})
        return after

    async def drain(self, caller: Caller, name: ClusterName) -> Draining:
        """
        Lease no more work to the cluster, requeue unaccepted leases, and return what remains.

        Idempotent: a repeated call returns what remains by then.
        """
        caller.require(Permission.CLUSTER_WRITE)
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            before = await _lock(tx, name)
            await drains.drain(tx, name, now)
            returned = await return_unaccepted(tx, name, now)
            found = await _inspect(tx, name, returned=returned)
            if before.draining_since is None:
                await record(tx, self._clock, caller, "cluster.drain", f"cluster:{name}")
        log.info("cluster drain started", extra={"cluster": name, "by": caller.subject})
        return found

    async def stop_rest(self, caller: Caller, name: ClusterName) -> Draining:
        """Stop the remaining attempts of a draining cluster; each is retried on another one."""
        caller.require(Permission.CLUSTER_WRITE)
        async with self._database.for_org(caller.org) as tx:
            _require_draining(await _get(tx, name))
            stopped = await drains.stop_rest(
                tx, name, reason=f"cluster {name} is drained", now=self._clock.now()
            )
            found = await _inspect(tx, name, stopped=stopped)
            detail = {"attempts": str(stopped)}
            await record(
                tx, self._clock, caller, "cluster.stop_attempts", f"cluster:{name}", detail=detail
            )
        log.info("cluster drain stops attempts", extra={"cluster": name, "by": caller.subject})
        return found

    async def delete(self, caller: Caller, name: ClusterName, version: int | None = None) -> None:
        """
        Delete a cluster without attempts, with its agent's certificates and join tokens.

        A live session of its agent ends at once, on any replica. NotFoundError, ConflictError (a
        stale ``version``), NotReadyError (attempts are leased to it).
        """
        caller.require(Permission.CLUSTER_WRITE)
        async with self._database.for_org(caller.org) as tx:
            await clusters.lock_cluster(tx, name)
            found = await _get(tx, name)
            require_version(f"cluster {name}", found.version, version)
            if found.leased:
                count = "an attempt" if found.leased == 1 else f"{found.leased} attempts"
                raise NotReadyError(
                    f"cluster {name} has {count}; drain it first with `volary cluster drain {name} "
                    "--wait`"
                )
            await enrolments.delete_enrolments(tx, name)
            await delete_sessions(tx, name)
            await clusters.delete_cluster(tx, name)
            await notify_cluster(tx, name)
            await record(tx, self._clock, caller, "cluster.delete", f"cluster:{name}")
        log.info("cluster deleted", extra={"cluster": name, "by": caller.subject})

    async def watch_drain(
        self,
        caller: Caller,
        name: ClusterName,
        *,
        deadline: timedelta | None,
        stop_rest: bool = False,
    ) -> AsyncIterator[Draining]:
        """
        Yield the progress of a drain, until the cluster is empty or ``deadline`` has passed.

        With ``stop_rest`` the attempts that remain at the deadline are stopped, and have ``GRACE``
        to end. ConflictError when another caller ends the drain meanwhile.
        """
        caller.require(Permission.CLUSTER_READ)
        if stop_rest:
            caller.require(Permission.CLUSTER_WRITE)
        seen = Emptying()
        until = None if deadline is None else self._clock.now() + deadline
        while True:
            async with self._database.for_org(caller.org) as tx:
                found = await _inspect(tx, name)
            _require_draining(found.status)
            now = self._clock.now()
            seen, attestation = seen.observe(found.status, now)
            if attestation is not None:
                yield _with(found, attestation)
                return
            if until is not None and now >= until:
                if not stop_rest:
                    yield found
                    return
                found = await self.stop_rest(caller, name)
                stop_rest, until = False, now + GRACE
            yield found
            await self._clock.sleep(POLL_INTERVAL)


def _parse_after(token: str) -> UUID | None:
    try:
        return UUID(token) if token else None
    except ValueError as error:
        raise InvalidError("page_token: is not of this list; start at the first page") from error


def _parse_epoch(token: str) -> int:
    if not (token.isascii() and token.isdigit() and len(token) < len(str(_LATEST))):
        raise InvalidError("page_token: is not of this list; start at the first page")
    return int(token)


async def _lock(tx: OrgTx, name: ClusterName) -> ClusterStatus:
    await drains.lock_cluster(tx, name)
    return await _get(tx, name)


async def _get(tx: OrgTx, name: ClusterName) -> ClusterStatus:
    status = await drains.find_cluster(tx, name)
    if status is None:
        there_are = await drains.list_names(tx, most=_MOST_NAMED)
        raise NotFoundError("cluster", name, there_are=there_are)
    return status


async def _inspect(
    tx: OrgTx, name: ClusterName, *, returned: int = 0, stopped: int = 0
) -> Draining:
    return Draining(
        status=await _get(tx, name),
        remaining=await drains.list_remaining(tx, name),
        returned=returned,
        stopped=stopped,
    )


def _require_draining(status: ClusterStatus) -> None:
    if status.draining_since is None:
        raise ConflictError(
            f"cluster {status.name} is not being drained; start with `volary cluster drain "
            f"{status.name}`"
        )


def _with(found: Draining, attestation: Attestation) -> Draining:
    return Draining(status=found.status, remaining=found.remaining, attestation=attestation)
