"""What an operator may ask of clusters: to look, to cordon, to empty, to move to a pool."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from controlplane.core.callers import Caller, Permission
from controlplane.core.clusters import Attestation, ClusterStatus, Emptying, LeasedAttempt
from controlplane.core.errors import ConflictError, NotFoundError
from controlplane.core.names import parse_pool
from controlplane.store.database import Database, OrgTx
from controlplane.store.dispatch import drains
from controlplane.store.dispatch.dispatches import return_unaccepted
from shared.kit.clock import Clock
from shared.model.ids import ClusterName

log = logging.getLogger(__name__)

POLL_INTERVAL = timedelta(seconds=1)
GRACE = timedelta(minutes=2)
"""How long those have that were told to stop when the deadline had passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """How far a drain has come; the last one says whether the cluster is empty."""

    status: ClusterStatus
    remaining: Sequence[LeasedAttempt]
    returned: int = 0  # leases that went back, because nobody had accepted them
    stopped: int = 0  # attempts told to stop, because the deadline had passed
    attestation: Attestation | None = None


class Clusters:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def list(self, caller: Caller) -> Sequence[ClusterStatus]:
        caller.require(Permission.CLUSTER_READ)
        async with self._database.for_org(caller.org) as tx:
            return await drains.list_clusters(tx)

    async def get(self, caller: Caller, name: ClusterName) -> ClusterStatus:
        """NotFoundError names the clusters there are."""
        caller.require(Permission.CLUSTER_READ)
        async with self._database.for_org(caller.org) as tx:
            return await _get(tx, name)

    async def cordon(self, caller: Caller, name: ClusterName) -> ClusterStatus:
        """Give it no more work; what it has, it keeps."""
        return await self._change(caller, name, drains.cordon, "cordoned")

    async def uncordon(self, caller: Caller, name: ClusterName) -> ClusterStatus:
        """Give it work again, cordoned or drained as it may be."""
        return await self._change(caller, name, drains.uncordon, "uncordoned")

    async def move(self, caller: Caller, name: ClusterName, pool: str) -> ClusterStatus:
        """Have it serve another pool; what it has, it keeps."""
        parse_pool(pool)

        async def change(tx: OrgTx, name: ClusterName) -> None:
            await drains.move(tx, name, pool)

        return await self._change(caller, name, change, "moved")

    async def drain(self, caller: Caller, name: ClusterName) -> Draining:
        """
        Give it no more work, and take back what it has not accepted; says what is left.

        Asked again, it says what is left by now.
        """
        caller.require(Permission.CLUSTER_WRITE)
        now = self._clock.now()
        async with self._database.for_org(caller.org) as tx:
            await _get(tx, name)
            await drains.drain(tx, name, now)
            returned = await return_unaccepted(tx, name, now)
            found = await _inspect(tx, name, returned=returned)
        log.info("cluster drains", extra={"cluster": name, "by": caller.subject})
        return found

    async def stop_rest(self, caller: Caller, name: ClusterName) -> Draining:
        """Have stopped what a drained cluster still holds; each begins anew elsewhere."""
        caller.require(Permission.CLUSTER_WRITE)
        async with self._database.for_org(caller.org) as tx:
            _require_draining(await _get(tx, name))
            stopped = await drains.stop_rest(
                tx, name, reason=f"cluster {name} is drained", now=self._clock.now()
            )
            found = await _inspect(tx, name, stopped=stopped)
        log.info("cluster stops the rest", extra={"cluster": name, "by": caller.subject})
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
        Yield how far a drain has come, until the cluster is empty or ``deadline`` has passed.

        With ``stop_rest`` what is left at the deadline is stopped, and has a little longer.
        ConflictError when somebody ends the drain meanwhile.
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
        what: str,
    ) -> ClusterStatus:
        caller.require(Permission.CLUSTER_WRITE)
        async with self._database.for_org(caller.org) as tx:
            await _get(tx, name)
            await change(tx, name)
            status = await _get(tx, name)
        log.info("cluster changed", extra={"cluster": name, "what": what, "by": caller.subject})
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
            f"cluster {status.name} is not drained (any more); begin with volary cluster drain"
        )


def _with(found: Draining, attestation: Attestation) -> Draining:
    return Draining(status=found.status, remaining=found.remaining, attestation=attestation)
