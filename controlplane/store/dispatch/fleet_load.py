"""
Reads the load of all orgs, for metrics.

Work is bounded: of each pool at most MOST_COUNTED waiting rows are counted, by index alone, and
one probe finds the next pool, so that pools without waiting work cost nothing. Leases are as many
as the slots of the clusters.
"""

from collections import Counter
from datetime import datetime, timedelta

from controlplane.core.fleet_load import Backlog, FleetLoad, LeaseLoad, OrgLoad, PoolLoad
from controlplane.store.database import FleetTx
from controlplane.store.statements import statement
from shared.model.ids import OrgName

MOST_COUNTED = 100_000
"""A larger number of waiting rows of one pool, or of notifications, is given as this."""

_POOL = "FROM dispatches d WHERE d.lease_id IS NULL"

_WAITING = statement(f"""
WITH RECURSIVE pools AS (
    (SELECT d.org, d.pool {_POOL} ORDER BY d.org, d.pool LIMIT 1)
  UNION ALL
    SELECT n.* FROM pools p CROSS JOIN LATERAL (
        SELECT d.org, d.pool {_POOL} AND (d.org, d.pool) > (p.org, p.pool)
        ORDER BY d.org, d.pool LIMIT 1
    ) n
)
SELECT p.org, p.pool, w.waiting, w.oldest_at FROM pools p CROSS JOIN LATERAL (
    SELECT count(*) AS waiting, min(f.available_at) AS oldest_at
    FROM (SELECT d.available_at {_POOL} AND d.org = p.org AND d.pool = p.pool
          LIMIT {MOST_COUNTED}) f
) w
""")

_LEASED = statement("""
SELECT org, count(*) AS leased,
       count(*) FILTER (WHERE accepted_at IS NULL) AS unaccepted,
       count(*) FILTER (WHERE stop_reason IS NOT NULL) AS stopping,
       count(*) FILTER (WHERE missing_since IS NOT NULL) AS missing,
       min(leased_at) FILTER (WHERE accepted_at IS NULL) AS unaccepted_at,
       min(leased_at) AS leased_at
FROM dispatches WHERE lease_id IS NOT NULL GROUP BY org
""")

# Heartbeats renew all leases of a cluster.
_CLUSTERS = statement("""
SELECT count(*) FILTER (WHERE c.connected) AS connected,
       count(*) FILTER (WHERE NOT c.connected AND c.has_leases) AS silent,
       max(k.served - c.seen_served) FILTER (WHERE c.has_leases) AS renewal
FROM control_clock k CROSS JOIN (
    SELECT c.connected, c.seen_served, EXISTS (
        SELECT 1 FROM dispatches d
        WHERE d.org = c.org AND d.cluster = c.cluster AND d.lease_id IS NOT NULL
    ) AS has_leases
    FROM clusters c
) c
""")

_BACKLOG = statement(f"""
SELECT (SELECT count(*) FROM (SELECT 1 FROM phase_events LIMIT {MOST_COUNTED}) e) AS events,
       count(*) AS deliveries, min(due_at) AS due_at
FROM (SELECT due_at FROM deliveries WHERE state = 0 LIMIT {MOST_COUNTED}) d
""")

_LOCKS = statement("""
SELECT count(*) AS waiting, min(l.waitstart) AS since
FROM pg_locks l
WHERE NOT l.granted
  AND (l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       OR l.locktype = 'transactionid')
""")


async def read_load(tx: FleetTx, now: datetime) -> FleetLoad:
    """Read the load of all orgs at ``now``."""
    waiting = (await tx.connection.execute(_WAITING)).all()
    leased = (await tx.connection.execute(_LEASED)).all()
    clusters = (await tx.connection.execute(_CLUSTERS)).one()
    backlog = (await tx.connection.execute(_BACKLOG)).one()
    locks = (await tx.connection.execute(_LOCKS)).one()
    waiting_of: Counter[str] = Counter()
    for row in waiting:
        waiting_of[row.org] += row.waiting
    leased_of = {row.org: row.leased for row in leased}
    count = sum(leased_of.values())
    unaccepted = sum(row.unaccepted for row in leased)
    return FleetLoad(
        pools=[
            PoolLoad(
                org=OrgName(row.org),
                pool=row.pool,
                waiting=row.waiting,
                oldest=_age(row.oldest_at, now),
            )
            for row in waiting
        ],
        orgs=[
            OrgLoad(org=OrgName(org), waiting=waiting_of[org], leased=leased_of.get(org, 0))
            for org in {**leased_of, **waiting_of}
        ],
        leases=LeaseLoad(
            unaccepted=unaccepted,
            accepted=count - unaccepted,
            stopping=sum(row.stopping for row in leased),
            missing=sum(row.missing for row in leased),
            oldest_unaccepted=max((_age(row.unaccepted_at, now) for row in leased), default=_NONE),
            oldest=max((_age(row.leased_at, now) for row in leased), default=_NONE),
            oldest_renewal=clusters.renewal or _NONE,
        ),
        backlog=Backlog(
            events=backlog.events,
            deliveries=backlog.deliveries,
            oldest_due=_age(backlog.due_at, now),
        ),
        connected_clusters=clusters.connected,
        silent_clusters=clusters.silent,
        lock_waiters=locks.waiting,
        longest_lock_wait=_age(locks.since, now),
    )


_NONE = timedelta()


def _age(since: datetime | None, now: datetime) -> timedelta:
    """Return how long ago ``since`` was; zero for None and for what lies ahead."""
    return _NONE if since is None else max(now - since, _NONE)
