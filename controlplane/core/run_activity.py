"""
Activity of a run over time: how many attempts ran, were being started, and waited by reason. PURE.

The store gives changes of counts in each bucket; the history of pending reasons says why what
waited did. Numbers are averages over a bucket.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from itertools import pairwise

from controlplane.core.action_timings import blocked_scopes
from controlplane.core.pending_reasons import BlockedScope, PastPendingReason, severity
from controlplane.core.reason_codes import Reason

MAX_BUCKETS = 500
DEFAULT_BUCKETS = 100


class Doing(IntEnum):
    """Periods of an attempt; the store's statement has the numbers."""

    WAITING = 0  # for a cluster
    STARTING = 1  # leased to a cluster
    RUNNING = 2
    BACKOFF = 3
    SIGNAL = 4  # a condition


@dataclass(frozen=True, slots=True)
class Lane:
    """Attempts that wait for the same reasons."""

    doing: Doing
    pool: str = ""
    queue: str = ""
    is_root: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """
    How many of a lane began less how many ended in a bucket.

    ``rest`` is the sum over these of the part of the bucket that remained.
    """

    lane: Lane
    bucket: int
    count: int
    rest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityBucket:
    running: float
    starting: float
    waiting: Mapping[Reason, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Buckets of equal length from ``since`` to ``until``."""

    since: datetime
    until: datetime
    buckets: Sequence[ActivityBucket]


def scopes_of(lanes: Iterable[Lane], run: str) -> frozenset[BlockedScope]:
    """Return the scopes whose pending reasons apply to what waits in these lanes."""
    return frozenset(
        scope
        for lane in lanes
        if lane.doing is Doing.WAITING
        for scope in blocked_scopes(pool=lane.pool, queue=lane.queue, run=run, is_root=lane.is_root)
    )


def summarize_activity(
    changes: Iterable[Changes],
    past: Sequence[PastPendingReason],
    *,
    run: str,
    since: datetime,
    until: datetime,
    buckets: int,
) -> Activity:
    """Add up the lanes of each bucket, with the reasons of what waited."""
    by_lane: dict[Lane, dict[int, Changes]] = {}
    for change in changes:
        by_lane.setdefault(change.lane, {})[change.bucket] = change
    length = (until - since) / buckets
    running, starting = [0.0] * buckets, [0.0] * buckets
    waiting: list[dict[Reason, float]] = [{} for _ in range(buckets)]
    for lane, of in by_lane.items():
        averages = list(_averages(of, buckets))
        match lane.doing:
            case Doing.RUNNING:
                running = [a + b for a, b in zip(running, averages, strict=True)]
            case Doing.STARTING:
                starting = [a + b for a, b in zip(starting, averages, strict=True)]
            case Doing.BACKOFF:
                _add_all(waiting, averages, Reason.BACKOFF)
            case Doing.SIGNAL:
                _add_all(waiting, averages, Reason.SIGNAL)
            case Doing.WAITING:
                scopes = scopes_of([lane], run)
                own = [each for each in past if each.blocked in scopes]
                for number, average in enumerate(averages):
                    begin = since + number * length
                    for reason, part in _parts(own, begin, begin + length).items():
                        _add(waiting[number], reason, average * part)
    return Activity(
        since=since,
        until=until,
        buckets=[
            ActivityBucket(running=running[n], starting=starting[n], waiting=waiting[n])
            for n in range(buckets)
        ],
    )


def _averages(changes: Mapping[int, Changes], buckets: int) -> Iterable[float]:
    level = 0
    for number in range(buckets):
        change = changes.get(number)
        if change is None:
            yield float(level)
        else:
            yield max(level + change.rest, 0.0)
            level += change.count


def _parts(
    past: Sequence[PastPendingReason], since: datetime, until: datetime
) -> Mapping[Reason, float]:
    """Return for which part of a period each reason held; without a recorded one: fairness."""
    cuts = {since, until}
    for each in past:
        cuts |= {at for at in (each.began_at, each.ended_at) if at and since < at < until}
    parts: dict[Reason, float] = {}
    for began, ended in pairwise(sorted(cuts)):
        there = [
            each.reason
            for each in past
            if each.began_at <= began and (each.ended_at is None or each.ended_at > began)
        ]
        _add(
            parts,
            min(there, key=severity, default=Reason.FAIRNESS),
            (ended - began) / (until - since),
        )
    return parts


def _add_all(
    waiting: Sequence[dict[Reason, float]], averages: Sequence[float], why: Reason
) -> None:
    for of, average in zip(waiting, averages, strict=True):
        _add(of, why, average)


def _add(sums: dict[Reason, float], reason: Reason, number: float) -> None:
    if number > 0:
        sums[reason] = sums.get(reason, 0.0) + number


def period_of(
    began: datetime,
    ended: datetime,
    *,
    since: datetime | None,
    until: datetime | None,
) -> tuple[datetime, datetime]:
    """Return the period to show of a run that took from ``began`` to ``ended``, at least 1 ms."""
    first = since or began
    return first, max(until or ended, first + timedelta(milliseconds=1))
