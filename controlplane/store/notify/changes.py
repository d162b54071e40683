"""
Numbers the changes of a transaction for the runs' feeds, and sends one NOTIFY for all.

Global lock order: triggers (by key), runs (by id), dispatches (by action id), actions, attempts.
Transactions that keep it cannot deadlock with each other.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from controlplane.core.callers import Subject
from controlplane.core.forwarded_calls import ForwardedCallId
from controlplane.core.queues import ANY_POOL
from controlplane.store.database import FleetTx, OrgTx
from controlplane.store.statements import given, statement
from shared.model.ids import ClusterName, OrgName, RunId

CHANNEL = "volary"
MAX_PAYLOAD_BYTES = 7_900  # Postgres takes less than 8,000
_MOST_SUBJECTS = 50  # named in one notification

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
    """The change counters of the runs that this transaction has locked."""

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
    """Lock runs by id; until commit no other transaction changes their actions."""
    rows = await tx.rows(_LOCK, {"run_id": sorted(runs)})
    return Counters({RunId(row.run_id): row.change for row in rows})


async def lock_free_runs(tx: OrgTx, runs: Collection[RunId]) -> Counters:
    """Lock runs as ``lock_runs`` does, but skip those that another transaction has locked."""
    rows = await tx.rows(_LOCK_FREE, {"run_id": sorted(runs)})
    return Counters({RunId(row.run_id): row.change for row in rows})


async def notify(
    tx: OrgTx,
    counters: Counters,
    *,
    work: Collection[str] = (),
    stops: Iterable[str] = (),
    cascades: bool = False,
    reservations: bool = False,
) -> None:
    """
    Save the counters and notify every replica, once for the whole transaction.

    ``work``: the pools in which something may be leased now (``ANY_POOL``: in any).
    ``reservations``: an action ended for which equal ones wait.
    """
    moved = counters.moved()
    if moved:
        await tx.execute(_ADVANCE, {"run_id": list(moved), "change": list(moved.values())})
    for payload in payloads(
        tx.org,
        list(moved),
        work=sorted(set(work)),
        stops=sorted(set(stops)),
        cascades=cascades,
        reservations=reservations,
    ):
        await tx.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """The objects to read again after a NOTIFY."""

    org: OrgName
    runs: Sequence[RunId]  # runs whose actions changed
    every_run: bool  # any run may have changed: there were too many to name
    work: Sequence[str]  # pools in which something may be leased; ANY_POOL among them: in any
    stops: Sequence[str]  # clusters that have attempts to stop
    called: Sequence[str]  # clusters whose agents have a forwarded call
    relays: Sequence[ForwardedCallId]  # forwarded calls to read again: replies came or were read
    cascades: bool  # a marker was left for the cascade loop
    reservations: bool = False  # a reservation of the result cache ended that others wait for
    revoked: bool = False  # a credential was revoked
    signing_keys: bool = False  # signing keys were added or withdrawn
    triggers: bool = False  # a trigger was deployed, changed or deleted
    grants: Sequence[Subject] | None = ()  # whose grants changed; None: anyone's of the org


def payloads(
    org: OrgName,
    runs: Sequence[RunId],
    *,
    work: Sequence[str],
    stops: Sequence[str],
    cascades: bool = False,
    reservations: bool = False,
) -> list[str]:
    """Format a notification as payloads: none if it is empty, several if it is too long."""
    if not (runs or work or stops or cascades or reservations):
        return []
    named = _format(
        org,
        runs=[run.hex for run in runs],
        work=work,
        stops=stops,
        cascades=cascades,
        reservations=reservations,
    )
    if len(named.encode()) <= MAX_PAYLOAD_BYTES:
        return [named]
    return [
        _format(
            org,
            runs="*" if runs else [],
            work=[ANY_POOL] if work else [],
            cascades=cascades,
            reservations=reservations,
        ),
        *(_format(org, stops=[cluster]) for cluster in stops),
    ]


def _format(
    org: OrgName,
    *,
    runs: Sequence[str] = (),
    work: Sequence[str] = (),
    stops: Sequence[str] = (),
    called: Sequence[str] = (),
    relays: Sequence[str] = (),
    cascades: bool = False,
    reservations: bool = False,
    revoked: bool = False,
    signing_keys: bool = False,
    triggers: bool = False,
    grants: Sequence[str] = (),
) -> str:
    reported = {
        "o": org,
        "w": work,
        "s": stops,
        "r": runs,
        "c": called,
        "l": relays,
        "d": int(cascades),
        "e": int(reservations),
        "x": int(revoked),
        "k": int(signing_keys),
        "t": int(triggers),
        "g": grants,
    }
    return json.dumps(
        {key: value for key, value in reported.items() if value}, separators=(",", ":")
    )


def parse_notification(payload: str) -> Notification:
    """Parse a payload; ValueError, LookupError, TypeError or AttributeError if it is malformed."""
    reported = json.loads(payload)
    runs = reported.get("r", [])
    every = runs == "*"
    grants = reported.get("g", [])
    return Notification(
        org=OrgName(str(reported["o"])),
        runs=[] if every else [RunId(UUID(hex=run)) for run in runs],
        every_run=every,
        work=_parse_work(reported.get("w")),
        stops=[str(cluster) for cluster in reported.get("s", [])],
        called=[str(cluster) for cluster in reported.get("c", [])],
        relays=[ForwardedCallId(UUID(hex=forwarded)) for forwarded in reported.get("l", [])],
        cascades=bool(reported.get("d")),
        reservations=bool(reported.get("e")),
        revoked=bool(reported.get("x")),
        signing_keys=bool(reported.get("k")),
        triggers=bool(reported.get("t")),
        grants=None if grants == "*" else tuple(Subject(str(each)) for each in grants),
    )


def _parse_work(reported: object) -> Sequence[str]:
    """Parse the pools; the previous release writes 1 for "in any"."""
    if isinstance(reported, list):
        return [str(pool) for pool in reported]
    return [ANY_POOL] if reported else []


async def notify_run(tx: OrgTx, run: RunId, *, work: Sequence[str]) -> None:
    """Notify of a run that no one was notified of when it was created, and of its pools' work."""
    for payload in payloads(tx.org, [run], work=work, stops=[]):
        await tx.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


async def notify_work(tx: FleetTx, org: OrgName) -> None:
    """Notify, from a transaction across orgs, that an org has waiting work again."""
    for payload in payloads(org, [], work=[ANY_POOL], stops=[]):
        await tx.connection.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


async def notify_own_work(tx: OrgTx) -> None:
    """Notify that the transaction's org has waiting work again."""
    for payload in payloads(tx.org, [], work=[ANY_POOL], stops=[]):
        await tx.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


async def notify_cluster(tx: OrgTx, cluster: ClusterName) -> None:
    """Notify the cluster's session of a changed spec, and other clusters of waiting work."""
    for payload in payloads(tx.org, [], work=[ANY_POOL], stops=[cluster]):
        await tx.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


async def notify_call(tx: OrgTx, cluster: ClusterName) -> None:
    """Notify the replica that has the stream of the cluster's agent of a forwarded call."""
    await tx.execute(_NOTIFY, {"channel": CHANNEL, "payload": _format(tx.org, called=[cluster])})


async def notify_reply(tx: OrgTx, forwarded: ForwardedCallId) -> None:
    """Notify both ends of a forwarded call that replies were written, read or ended."""
    await tx.execute(
        _NOTIFY, {"channel": CHANNEL, "payload": _format(tx.org, relays=[forwarded.hex])}
    )


async def notify_revoked(tx: OrgTx | FleetTx, org: OrgName) -> None:
    """Notify every replica that a credential of the org was revoked."""
    payload = _format(org, revoked=True)
    await tx.connection.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


async def notify_signing_keys(tx: FleetTx) -> None:
    """Notify every replica that signing keys were added or withdrawn."""
    payload = _format(OrgName(""), signing_keys=True)
    await tx.connection.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


async def notify_triggers(tx: OrgTx) -> None:
    """Notify every replica's scheduler that triggers of the org changed."""
    payload = _format(tx.org, triggers=True)
    await tx.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


async def notify_grants(tx: OrgTx, subjects: Collection[Subject] = ()) -> None:
    """
    Notify every replica that the grants of these subjects changed; of none: of anyone in the org.

    Replicas then read the grants again at the next call, and end the subjects' streams so that
    clients connect again: a removed role takes effect at once.
    """
    named = sorted(set(subjects))
    few = 0 < len(named) <= _MOST_SUBJECTS
    payload = _format(tx.org, grants=named if few else "*")
    await tx.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})
