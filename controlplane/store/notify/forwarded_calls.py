"""
Stores calls to agents that are forwarded between replicas, and their replies.

Adding and taking replies locks the row of the call, so that each side knows for certain whether
the other has to be woken: the reader if there was nothing to read, the writer if the buffer was
full.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum, auto

from controlplane.core.forwarded_calls import (
    MOST_OF_CLUSTER,
    MOST_UNREAD,
    ForwardedCallId,
    Standing,
)
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.notify.changes import notify_call, notify_reply
from controlplane.store.statements import statement
from shared.model.ids import ClusterName

_SELECT = statement("""
SELECT c.connected, (
    SELECT count(*) FROM relays r WHERE r.org = c.org AND r.cluster = c.cluster
) AS relays
FROM clusters c WHERE c.org = :org AND c.cluster = :cluster
""")

_INSERT = statement("""
INSERT INTO relays (org, relay_id, cluster, wish, request, asked_at, seen_at)
VALUES (:org, :relay, :cluster, :request, :request, :now, :now)
""")

# Waits for a row that its caller has locked, instead of skipping it: the call is notified once.
_CLAIM = statement("""
UPDATE relays SET epoch = :epoch
WHERE org = :org AND cluster = :cluster AND epoch IS NULL
RETURNING relay_id, COALESCE(request, wish) AS request
""")

_LOCK = statement("""
SELECT 1 FROM relays WHERE org = :org AND relay_id = :relay AND epoch = :epoch FOR UPDATE
""")
_COUNT = statement("""
SELECT count(*) AS unread FROM relay_replies WHERE org = :org AND relay_id = :relay
""")
# ON CONFLICT: a writer that does not know whether its commit succeeded writes again.
_PUT = statement("""
INSERT INTO relay_replies (org, relay_id, number, body) VALUES (:org, :relay, :number, :body)
ON CONFLICT DO NOTHING
""")

_SEE = statement("""
UPDATE relays r SET seen_at = :now FROM clusters c
WHERE r.org = :org AND r.relay_id = :relay AND c.org = r.org AND c.cluster = r.cluster
RETURNING r.asked_at, r.epoch, c.epoch AS current, c.connected
""")
_TAKE = statement("""
DELETE FROM relay_replies WHERE org = :org AND relay_id = :relay RETURNING number, body
""")

_HAS_CALLER = statement("SELECT 1 FROM relays WHERE org = :org AND relay_id = :relay")
_END = statement("DELETE FROM relays WHERE org = :org AND relay_id = :relay")
# Skips rows that another transaction has locked: they are in use, or left to the next pass.
_FORGET = statement("""
WITH forgotten AS MATERIALIZED (
    SELECT org, relay_id FROM relays WHERE seen_at < :seen_at
    ORDER BY org, relay_id FOR UPDATE SKIP LOCKED
)
DELETE FROM relays r USING forgotten f WHERE r.org = f.org AND r.relay_id = f.relay_id
""")


class Asked(Enum):
    ASKED = auto()
    NO_AGENT = auto()  # no agent of the cluster is connected to any replica
    TOO_MANY = auto()


class Put(Enum):
    PUT = auto()
    FULL = auto()  # the reader has to read first
    NO_CALLER = auto()  # the caller is gone


async def insert_call(
    tx: OrgTx, forwarded: ForwardedCallId, cluster: ClusterName, request: bytes, now: datetime
) -> Asked:
    """Store a call for the replica that has the cluster's agent, and notify it."""
    rows = await tx.rows(_SELECT, {"cluster": cluster})
    if not rows or not rows[0].connected:
        return Asked.NO_AGENT
    if rows[0].relays >= MOST_OF_CLUSTER:
        return Asked.TOO_MANY
    await tx.execute(
        _INSERT, {"relay": forwarded, "cluster": cluster, "request": request, "now": now}
    )
    await notify_call(tx, cluster)
    return Asked.ASKED


async def claim(tx: OrgTx, cluster: ClusterName, epoch: int) -> Mapping[ForwardedCallId, bytes]:
    """Claim the calls to the cluster's agent; return their serialised requests by id."""
    rows = await tx.rows(_CLAIM, {"cluster": cluster, "epoch": epoch})
    return {ForwardedCallId(row.relay_id): row.request for row in rows}


async def put(tx: OrgTx, forwarded: ForwardedCallId, epoch: int, number: int, body: bytes) -> Put:
    """Add a reply if the buffer is not full; the same number twice is one reply."""
    if not await tx.rows(_LOCK, {"relay": forwarded, "epoch": epoch}):
        return Put.NO_CALLER
    unread = (await tx.rows(_COUNT, {"relay": forwarded}))[0].unread
    if unread >= MOST_UNREAD:
        return Put.FULL
    await tx.execute(_PUT, {"relay": forwarded, "number": number, "body": body})
    if unread == 0:
        await notify_reply(tx, forwarded)
    return Put.PUT


async def take(
    tx: OrgTx, forwarded: ForwardedCallId, now: datetime
) -> tuple[Standing | None, Sequence[tuple[int, bytes]]]:
    """Renew the call and take its replies by number; None if the call was ended."""
    seen = await tx.rows(_SEE, {"relay": forwarded, "now": now})
    if not seen:
        return None, ()
    [row] = seen
    taken = await tx.rows(_TAKE, {"relay": forwarded})
    if len(taken) >= MOST_UNREAD:
        await notify_reply(tx, forwarded)
    standing = Standing(
        asked_at=row.asked_at, epoch=row.epoch, current=row.current, connected=row.connected
    )
    return standing, sorted((reply.number, reply.body) for reply in taken)


async def has_caller(tx: OrgTx, forwarded: ForwardedCallId) -> bool:
    return bool(await tx.rows(_HAS_CALLER, {"relay": forwarded}))


async def end(tx: OrgTx, forwarded: ForwardedCallId) -> None:
    """Delete a call with its replies, and notify the replica that answers it."""
    await tx.execute(_END, {"relay": forwarded})
    await notify_reply(tx, forwarded)


async def forget(tx: FleetTx, seen_before: datetime) -> int:
    """Delete calls whose callers have not renewed them since ``seen_before``; return how many."""
    return (await tx.connection.execute(_FORGET, {"seen_at": seen_before})).rowcount
