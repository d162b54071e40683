"""
Reserves cache keys for serialized actions: of equal ones the first runs, and the others wait.

A reservation is a row of (org, key, project, domain) that names the action that runs. An equal
action of the same project and domain that is enqueued meanwhile has no dispatch but a row in
``cache_waiters``. The transaction that ends the reserving action marks the reservation; the loop
``cache_waiters`` then gives the waiters its outputs, or lets the oldest of them run.

Reservations are locked after runs, queues and dispatches, in the order of their keys.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from controlplane.core.caching import CacheRequest, CacheResult
from controlplane.store.database import OrgTx
from controlplane.store.dispatch.caching import Lookup, RootSettings, find_entries
from controlplane.store.dispatch.wait_cycles import find_cycles
from controlplane.store.statements import given, statement
from shared.model.ids import ActionId, ActionName, RunId

_Entry = tuple[str, str, str]  # key, project and domain

# A row that exists is updated, which locks it: while this transaction adds a waiter to it, no other
# one takes the reservation for one that nothing waits for.
_RESERVE = statement(f"""
{given(id="uuid", run_id="uuid", key="text", project="text", domain="text")}
INSERT INTO cache_reservations AS r (org, key, project, domain, action_id, run_id, created_at)
SELECT DISTINCT ON (n.key, n.project, n.domain)
       n.org, n.key, n.project, n.domain, n.id, n.run_id, :now
FROM n ORDER BY n.key, n.project, n.domain, n.id
ON CONFLICT (org, key, project, domain) DO UPDATE SET waited = true
RETURNING r.key, r.project, r.domain, r.action_id, r.ended_at IS NOT NULL AS ended
""")

_GIVE_BACK = statement(f"""
{given(id="uuid")}
DELETE FROM cache_reservations r USING n WHERE r.org = n.org AND r.action_id = n.id
""")

_WAIT = statement(f"""
{given(
    id="uuid", run_id="uuid", parent="text", key="text", project="text", domain="text",
    queue="text", max_age="interval", has_outputs="boolean",
)}, waited AS (
    UPDATE cache_reservations r SET waited = true FROM n
    WHERE r.org = n.org AND r.key = n.key AND r.project = n.project AND r.domain = n.domain
      AND NOT r.waited
)
INSERT INTO cache_waiters (org, action_id, run_id, parent_id, key, project, domain, queue, max_age,
                           has_outputs, created_at)
SELECT n.org, n.id, n.run_id,
       (SELECT p.id FROM actions p WHERE p.org = n.org AND p.run_id = n.run_id AND p.name = n.parent),
       n.key, n.project, n.domain, n.queue, n.max_age, n.has_outputs, :now
FROM n
""")  # fmt: skip

_LEAVE = statement(f"""
{given(id="uuid")}
DELETE FROM cache_waiters w USING n WHERE w.org = n.org AND w.action_id = n.id
""")

# Of a reservation that nothing has waited for the row goes at once.
_END = statement(f"""
{given(id="uuid")}, locked AS MATERIALIZED (
    SELECT r.org, r.key, r.project, r.domain, r.waited
    FROM n JOIN cache_reservations r ON r.org = n.org AND r.action_id = n.id
    ORDER BY r.key, r.project, r.domain FOR UPDATE OF r
), waited_no_more AS (
    DELETE FROM cache_waiters w USING n WHERE w.org = n.org AND w.action_id = n.id
), deleted AS (
    DELETE FROM cache_reservations r USING locked l
    WHERE r.org = l.org AND r.key = l.key AND r.project = l.project AND r.domain = l.domain
      AND NOT l.waited
)
UPDATE cache_reservations r SET ended_at = :now FROM locked l
WHERE r.org = l.org AND r.key = l.key AND r.project = l.project AND r.domain = l.domain
  AND l.waited
RETURNING r.key
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serialized:
    """An action that asks to be serialized, and that has found no entry."""

    lookup: Lookup
    run: RunId
    parent: ActionName | None
    queue: str

    @property
    def entry(self) -> _Entry:
        run = self.lookup.run
        return self.lookup.request.key, run.project, run.domain


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """The outcome of reserving: the others have reserved their key, or run without it."""

    hits: Mapping[ActionId, CacheResult]  # an equal action has ended since their lookup
    waiting: Collection[ActionId]
    wakes: bool = False  # one waits for a reservation that has ended: ``notify`` wakes the loop


NOTHING_RESERVED = Reserved(hits={}, waiting=())


async def reserve(
    tx: OrgTx, actions: Sequence[Serialized], now: datetime, *, root: RootSettings | None = None
) -> Reserved:
    """
    Reserve the keys of these actions, or let them wait for the actions that have reserved them.

    An action whose wait would close a cycle does not wait: it runs beside the equal one. ``root``:
    the settings of their run, as ``find_entries`` takes them.
    """
    if not actions:
        return NOTHING_RESERVED
    hits: dict[ActionId, CacheResult] = {}
    waiting: list[Serialized] = []
    ended: set[_Entry] = set()
    pending = actions
    while pending:
        reserved, of_ended = await _reserve(tx, pending, now)
        ended.update(of_ended)
        # Again: the action that had reserved it may have ended between the lookup and this.
        found = await find_entries(tx, [each.lookup for each in pending], now, root=root)
        hit = {each.lookup.id for each in pending if found[each.lookup.id].entry is not None}
        hits.update({action: found[action] for action in hit})
        given_back = hit & set(reserved.values())
        if given_back:
            await tx.execute(_GIVE_BACK, {"id": sorted(given_back)})
        again: list[Serialized] = []
        for each in pending:
            owner = reserved[each.entry]
            if each.lookup.id in hit or each.lookup.id == owner:
                continue
            (again if owner in given_back else waiting).append(each)
        pending = again
    cyclic = await _wait(tx, waiting, now)
    return Reserved(
        hits=hits,
        waiting={each.lookup.id for each in waiting if each.lookup.id not in cyclic},
        wakes=any(each.entry in ended for each in waiting),
    )


async def _reserve(
    tx: OrgTx, actions: Sequence[Serialized], now: datetime
) -> tuple[Mapping[_Entry, ActionId], Collection[_Entry]]:
    """Reserve the keys that are free; return which action has each, and which have ended."""
    rows = await tx.rows(
        _RESERVE,
        {
            "id": [each.lookup.id for each in actions],
            "run_id": [each.run for each in actions],
            **_entries(actions),
            "now": now,
        },
    )
    reserved = {(row.key, row.project, row.domain): ActionId(row.action_id) for row in rows}
    return reserved, {(row.key, row.project, row.domain) for row in rows if row.ended}


async def _wait(tx: OrgTx, actions: Sequence[Serialized], now: datetime) -> Collection[ActionId]:
    """Write that these wait; return those that must not, because their waits close a cycle."""
    if not actions:
        return ()
    requests: list[CacheRequest] = [each.lookup.request for each in actions]
    await tx.execute(
        _WAIT,
        {
            "id": [each.lookup.id for each in actions],
            "run_id": [each.run for each in actions],
            "parent": [each.parent for each in actions],
            **_entries(actions),
            "queue": [each.queue for each in actions],
            "max_age": [request.max_age for request in requests],
            "has_outputs": [request.has_outputs for request in requests],
            "now": now,
        },
    )
    cyclic = await find_cycles(tx, [each.lookup.id for each in actions])
    await leave(tx, cyclic)
    return cyclic


async def end_reservations(tx: OrgTx, ended: Collection[ActionId], now: datetime) -> bool:
    """
    End the reservations and the waits of these actions, which ended or were not created.

    Returns whether ``notify`` has to wake the loop: an action waits for one of them.
    """
    if not ended:
        return False
    return bool(await tx.rows(_END, {"id": sorted(ended), "now": now}))


async def leave(tx: OrgTx, waiters: Collection[ActionId]) -> None:
    """Delete the waits of these actions, which go on."""
    if waiters:
        await tx.execute(_LEAVE, {"id": sorted(waiters)})


def _entries(actions: Sequence[Serialized]) -> dict[str, object]:
    keys, projects, domains = zip(*(each.entry for each in actions), strict=True)
    return {"key": list(keys), "project": list(projects), "domain": list(domains)}
