"""
What a transaction changed, told once: numbers for the run's feed, and one notification.

Locks are always taken in one order: runs (by id), dispatches (by action id), actions,
attempts. Whoever follows it cannot deadlock with anybody else who does.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from controlplane.core.forwarded_calls import ForwardedCallId
from controlplane.core.queues import ANY_POOL
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.statements import given, statement
from shared.model.ids import ClusterName, OrgName, RunId

CHANNEL = "volary"
MAX_PAYLOAD_BYTES = 7_900  # Postgres takes less than 8,000

_NOTIFY = statement("SELECT pg_notify(:channel, :payload)")
_ADVANCE = statement(f"""
{given(run_id="uuid", change="bigint")}
UPDATE runs r SET change = n.change FROM n WHERE r.org = n.org AND r.run_id = n.run_id
""")
_LOCK = statement(f"""
{given(run_id="uuid")}
SELECT r.run_id, r.change FROM n JOIN runs r ON r.org = n.org AND r.run_id = n.run_id
ORDER BY r.run_id FOR UPDATE OF r
""")


_LOCK_FREE = statement(f"""
{given(run_id="uuid")}
SELECT r.run_id, r.change FROM n JOIN runs r ON r.org = n.org AND r.run_id = n.run_id
ORDER BY r.run_id FOR UPDATE OF r SKIP LOCKED
""")


class Counters:
    """The change counters of runs this transaction has locked."""

    def __init__(self, locked: Mapping[RunId, int]) -> None:
        self._at = dict(locked)
        self._moved: set[RunId] = set()

    def __contains__(self, run: RunId) -> bool:
        return run in self._at

    def next(self, run: RunId) -> int:
        self._at[run] += 1
        self._moved.add(run)
        return self._at[run]

    def moved(self) -> Mapping[RunId, int]:
        return {run: self._at[run] for run in sorted(self._moved)}


async def lock_runs(tx: OrgTx, runs: Collection[RunId]) -> Counters:
    """Lock runs, in order; what then happens to their actions is ours alone until commit."""
    rows = await tx.rows(_LOCK, {"run_id": sorted(runs)})
    return Counters({RunId(row.run_id): row.change for row in rows})


async def lock_free_runs(tx: OrgTx, runs: Collection[RunId]) -> Counters:
    """As ``lock_runs``, but skip those that another transaction holds."""
    rows = await tx.rows(_LOCK_FREE, {"run_id": sorted(runs)})
    return Counters({RunId(row.run_id): row.change for row in rows})


async def notify(
    tx: OrgTx,
    counters: Counters,
    *,
    work: Collection[str] = (),
    stops: Iterable[str] = (),
    cascades: bool = False,
) -> None:
    """
    Save the counters and notify every replica, once for the whole transaction.

    ``work``: the pools in which something may be leased now (``ANY_POOL``: in any).
    """
    moved = counters.moved()
    if moved:
        await tx.execute(_ADVANCE, {"run_id": list(moved), "change": list(moved.values())})
    for payload in payloads(
        tx.org, list(moved), work=sorted(set(work)), stops=sorted(set(stops)), cascades=cascades
    ):
        await tx.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What a notification says: look again at these."""

    org: OrgName
    runs: Sequence[RunId]  # whose actions changed
    every_run: bool  # too many to name
    work: Sequence[str]  # pools in which something may be leased; ANY_POOL among them: in any
    stops: Sequence[str]  # clusters on which something is wanted stopped
    called: Sequence[str]  # clusters whose agents another replica calls
    relays: Sequence[ForwardedCallId]  # there is news on these
    cascades: bool  # a marker was left for the cascade loop


def payloads(
    org: OrgName,
    runs: Sequence[RunId],
    *,
    work: Sequence[str],
    stops: Sequence[str],
    cascades: bool = False,
) -> list[str]:
    """Spell a notice; none when there is nothing to say, several when it is too long for one."""
    if not (runs or work or stops or cascades):
        return []
    named = _spell(org, runs=[run.hex for run in runs], work=work, stops=stops, cascades=cascades)
    if len(named.encode()) <= MAX_PAYLOAD_BYTES:
        return [named]
    return [
        _spell(org, runs="*" if runs else [], work=[ANY_POOL] if work else [], cascades=cascades),
        *(_spell(org, stops=[cluster]) for cluster in stops),
    ]


def _spell(
    org: OrgName,
    *,
    runs: Sequence[str] = (),
    work: Sequence[str] = (),
    stops: Sequence[str] = (),
    called: Sequence[str] = (),
    relays: Sequence[str] = (),
    cascades: bool = False,
) -> str:
    reported = {
        "o": org,
        "w": work,
        "s": stops,
        "r": runs,
        "c": called,
        "l": relays,
        "d": int(cascades),
    }
    return json.dumps(
        {key: value for key, value in reported.items() if value}, separators=(",", ":")
    )


def parse_notification(payload: str) -> Notification:
    """Read a notice; ValueError, LookupError, TypeError or AttributeError when it is none."""
    reported = json.loads(payload)
    runs = reported.get("r", [])
    every = runs == "*"
    return Notification(
        org=OrgName(str(reported["o"])),
        runs=[] if every else [RunId(UUID(hex=run)) for run in runs],
        every_run=every,
        work=_parse_work(reported.get("w")),
        stops=[str(cluster) for cluster in reported.get("s", [])],
        called=[str(cluster) for cluster in reported.get("c", [])],
        relays=[ForwardedCallId(UUID(hex=forwarded)) for forwarded in reported.get("l", [])],
        cascades=bool(reported.get("d")),
    )


def _parse_work(reported: object) -> Sequence[str]:
    """Read the pools; the release before this one says 1 for "in any"."""
    if isinstance(reported, list):
        return [str(pool) for pool in reported]
    return [ANY_POOL] if reported else []


async def notify_work(tx: FleetTx, org: OrgName) -> None:
    """Notify, from a pass across orgs, that something waits again."""
    for payload in payloads(org, [], work=[ANY_POOL], stops=[]):
        await tx.connection.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


async def notify_own_work(tx: OrgTx) -> None:
    """Notify that something of the transaction's org waits again."""
    for payload in payloads(tx.org, [], work=[ANY_POOL], stops=[]):
        await tx.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


async def notify_cluster(tx: OrgTx, cluster: ClusterName) -> None:
    """Notify the cluster's session that something else is wanted; others may have its work."""
    for payload in payloads(tx.org, [], work=[ANY_POOL], stops=[cluster]):
        await tx.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


async def notify_call(tx: OrgTx, cluster: ClusterName) -> None:
    """Notify whoever has the stream of the cluster's agent that it is called."""
    await tx.execute(_NOTIFY, {"channel": CHANNEL, "payload": _spell(tx.org, called=[cluster])})


async def notify_reply(tx: OrgTx, forwarded: ForwardedCallId) -> None:
    """Notify both ends of a relayed call that there is news."""
    await tx.execute(
        _NOTIFY, {"channel": CHANNEL, "payload": _spell(tx.org, relays=[forwarded.hex])}
    )
