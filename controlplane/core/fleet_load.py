"""The load of all orgs together, and of the most loaded ones, for metrics."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from shared.model.ids import OrgName

OTHERS = "(others)"
"""Stands for the orgs or pools that have no series of their own; no name has parentheses."""
MOST_ORGS = 20
MOST_POOLS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLoad:
    """Waiting actions of a pool of an org."""

    org: OrgName | str
    pool: str
    waiting: int
    oldest: timedelta = timedelta()  # that an action, which may be leased, has waited


@dataclass(frozen=True, slots=True, kw_only=True)
class OrgLoad:
    """The actions of an org that have not ended."""

    org: OrgName | str
    waiting: int = 0
    leased: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLoad:
    """The leases of all orgs."""

    unaccepted: int = 0
    accepted: int = 0
    stopping: int = 0
    missing: int = 0
    oldest_unaccepted: timedelta = timedelta()
    oldest: timedelta = timedelta()
    oldest_renewal: timedelta = timedelta()  # since the cluster of a lease last sent a heartbeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Notifications that wait to be sent."""

    events: int = 0  # phases for which no notification was made yet
    deliveries: int = 0
    oldest_due: timedelta = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetLoad:
    """One reading of the load of all orgs."""

    pools: Sequence[PoolLoad] = ()
    orgs: Sequence[OrgLoad] = ()
    leases: LeaseLoad = LeaseLoad()
    backlog: Backlog = Backlog()
    connected_clusters: int = 0
    silent_clusters: int = 0  # with leases, and not connected
    lock_waiters: int = 0  # transactions of this database that wait for a lock
    longest_lock_wait: timedelta = timedelta()


def top_pools(pools: Iterable[PoolLoad], most: int = MOST_POOLS) -> Sequence[PoolLoad]:
    """Return the pools in which actions have waited longest; the others are one."""
    ranked = sorted(pools, key=lambda each: (-each.oldest, -each.waiting, each.org, each.pool))
    rest = ranked[most:]
    if not rest:
        return ranked
    others = PoolLoad(
        org=OTHERS,
        pool=OTHERS,
        waiting=sum(each.waiting for each in rest),
        oldest=rest[0].oldest,
    )
    return [*ranked[:most], others]


def top_orgs(orgs: Iterable[OrgLoad], most: int = MOST_ORGS) -> Sequence[OrgLoad]:
    """Return the orgs with the most actions; the others are one."""
    ranked = sorted(orgs, key=lambda each: (-each.leased - each.waiting, each.org))
    rest = ranked[most:]
    if not rest:
        return ranked
    others = OrgLoad(
        org=OTHERS,
        waiting=sum(each.waiting for each in rest),
        leased=sum(each.leased for each in rest),
    )
    return [*ranked[:most], others]


def bounded(load: FleetLoad) -> FleetLoad:
    """Return the load with at most MOST_POOLS pools and MOST_ORGS orgs, and what is left of each."""
    return replace(load, pools=top_pools(load.pools), orgs=top_orgs(load.orgs))
