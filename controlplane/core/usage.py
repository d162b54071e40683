"""Usage: what attempts request, and what they used, summed by day and other dimensions."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from controlplane.core.errors import InvalidError

KEPT = timedelta(days=400)
"""Retention of usage: a year, and the month that is billed after it."""

_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Dimension(StrEnum):
    """Key by which usage is summed."""

    DAY = "day"
    PROJECT = "project"
    DOMAIN = "domain"
    TASK = "task"
    CLUSTER = "cluster"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRequests:
    """Requests of one attempt of a task: thousandths of a core, bytes, accelerators."""

    cpu_millis: int = 0
    memory_bytes: int = 0
    accelerators: int = 0


NOTHING_REQUESTED = ResourceRequests()


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageAmounts:
    """Sums over attempts that ended; exact, in milliseconds."""

    attempts: int = 0
    run_ms: int = 0
    cpu_ms: int = 0  # of one core
    memory_mib_ms: int = 0
    accelerator_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """Usage of attempts with these in common; None and "" where it is not summed by that."""

    day: date | None
    project: str = ""
    domain: str = ""
    task: str = ""
    cluster: str = ""
    queue: str = ""
    amounts: UsageAmounts = UsageAmounts()


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSummary:
    """Usage of the days from ``since`` to ``until``, both included; the largest rows first."""

    since: date
    until: date
    total: UsageAmounts
    rows: Sequence[UsageRow]
    is_complete: bool


def parse_month(text: str, today: date) -> tuple[date, date]:
    """
    Return the first and the last day of a month such as "2026-11"; "" is this month.

    InvalidError for one that has not begun, or whose usage is not kept any more.
    """
    if not text:
        first = today.replace(day=1)
    else:
        found = _MONTH.fullmatch(text)
        if found is None or found[1] == "0000":
            raise InvalidError(f"month: {text[:80]!r} is not a month; write it as in 2026-11")
        first = date(int(found[1]), int(found[2]), 1)
    if first > today:
        raise InvalidError(
            f"month: {text} has not begun; name this month, {today:%Y-%m}, or one before it"
        )
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    last = following - timedelta(days=1)
    _require_kept("month", last, today)
    return first, last


def parse_days(since: str, until: str, today: date) -> tuple[date, date]:
    """Return the first and the last day; InvalidError for days that cannot have usage."""
    first, last = _parse_day(since, "since"), _parse_day(until, "until")
    if last < first:
        raise InvalidError(f"until: {until} is before since, {since}; swap them")
    if first > today:
        raise InvalidError(f"since: {since} is in the future; today is {today}")
    _require_kept("until", last, today)
    return first, last


def parse_dimensions(names: Collection[str]) -> frozenset[Dimension]:
    """Return the dimensions of these names; InvalidError names one that does not exist."""
    known = {each.value for each in Dimension}
    for name in names:
        if name not in known:
            raise InvalidError(f"group_by: {name[:80]!r} is not one of {', '.join(Dimension)}")
    return frozenset(map(Dimension, names))


def _parse_day(text: str, field: str) -> date:
    if not text:
        raise InvalidError(f"{field}: is missing; set both since and until, or a month")
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InvalidError(f"{field}: {text[:80]!r} is not a day; write it as in 2026-11-01")


def _require_kept(field: str, last: date, today: date) -> None:
    oldest = today - KEPT
    if last < oldest:
        raise InvalidError(
            f"{field}: usage is kept for {KEPT.days} days; the oldest day is {oldest}"
        )
