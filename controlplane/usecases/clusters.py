"""Use cases of clusters: list, cordon, uncordon, drain, and move to a pool."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from controlplane.core.callers import Caller, Permission
from controlplane.core.clusters import Attestation, ClusterStatus, Emptying, LeasedAttempt
from controlplane.core.errors import ConflictError, NotFoundError
from controlplane.core.names import parse_pool
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch import drains
from controlplane.store.dispatch.dispatches import return_unaccepted
from controlplane.usecases.identity.audit import record
from shared.kit.clock import Clock
from shared.model.ids import ClusterName

log = logging.getLogger(__name__)

POLL_INTERVAL = timedelta(seconds=1)
GRACE = timedelta(minutes=2)
"""Grace period of attempts that were asked to stop after the drain's deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """Progress of a drain; with an attestation once the cluster is empty."""

    status: ClusterStatus
    remaining: Sequence[LeasedAttempt]
    returned: int = 0  # leases requeued, because the agent had not accepted them
    stopped: int = 0  # attempts asked to stop, because the deadline had passed
    attestation: Attestation | None = None


class Clusters:
    """Use cases of clusters, for operators."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller) -> Sequence[ClusterStatus]:
        """List the org's clusters."""
        caller.require(Permission.CLUSTER_READ)
        async with self._database.for_org(caller.org) as tx:
            return await drains.list_clusters(tx)

    async def get(self, caller: Caller, name: ClusterName) -> ClusterStatus:
        """Return a cluster's status; NotFoundError lists the existing clusters."""
        caller.require(Permission.CLUSTER_READ)
        async with self._database.for_org(caller.org) as tx:
            return await _get(tx, name)

    async def cordon(self, caller: Caller, name: ClusterName) -> ClusterStatus:
        """Lease no more work to the cluster; it keeps the attempts it has."""
        return await self._change(caller, name, drains.cordon, "cordon")

    async def uncordon(self, caller: Caller, name: ClusterName) -> ClusterStatus:
        """Lease work to a cordoned or drained cluster again."""
        return await self._change(caller, name, drains.uncordon, "uncordon")

    async def move(self, caller: Caller, name: ClusterName, pool: str) -> ClusterStatus:
        """Move the cluster to another pool; it keeps the attempts it has."""
        parse_pool(pool)

        async def change(tx: OrgTx, name: ClusterName) -> None:
            await drains.move(tx, name, pool)

        return await self._change(caller, name, change, "move", {"pool": pool or "default"})

    async def drain(self, caller: Caller, name: ClusterName) -> Draining:
        """
        Lease no more work to the cluster, requeue unaccepted leases, and return what remains.

        Idempotent: a repeated call returns what remains by then.
        """
        caller.require(Permission.CLUSTER_WRITE)
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            await _get(tx, name)
            await drains.drain(tx, name, now)
            returned = await return_unaccepted(tx, name, now)
            found = await _inspect(tx, name, returned=returned)
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

    async def _change(
        self,
        caller: Caller,
        name: ClusterName,
        change: Callable[[OrgTx, ClusterName], Awaitable[None]],
        verb: str,
        detail: Mapping[str, str] | None = None,
    ) -> ClusterStatus:
        caller.require(Permission.CLUSTER_WRITE)
        async with self._database.for_org(caller.org) as tx:
            await _get(tx, name)
            await change(tx, name)
            status = await _get(tx, name)
            target = f"cluster:{name}"
            await record(tx, self._clock, caller, f"cluster.{verb}", target, detail=detail)
        log.info("cluster changed", extra={"cluster": name, "verb": verb, "by": caller.subject})
        return status


async def _get(tx: OrgTx, name: ClusterName) -> ClusterStatus:
    status = await drains.find_cluster(tx, name)
    if status is None:
        there_are = [str(each.name) for each in await drains.list_clusters(tx)]
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
