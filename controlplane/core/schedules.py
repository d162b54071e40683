"""
Schedules: the instants at which a trigger fires. PURE.

All instants are UTC; only this module converts to a zone's wall time. A local time that does not
exist (clocks go forward) fires at the end of the gap. One that exists twice (clocks go back) fires
at its first occurrence if the hour is fixed, and at both if it is ``*`` or a step.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, groupby, islice, takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from controlplane.core.errors import InvalidError

MOST_COUNTED = 1_000
"""Instants that ``count_until`` counts of a cron schedule; it returns no more than this."""
MAX_TEXT = 256
MAX_INTERVAL = timedelta(days=3660)
_SHORTEST_GAP = timedelta(minutes=1)
"""The shortest time between two instants of a schedule."""
# A leap day on a given day of the week may be forty years away, and cronsim cannot pass year 9999.
_LAST = datetime(9900, 1, 1, tzinfo=UTC)

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ZONE_PREFIX = re.compile(r"(?:CRON_TZ|TZ)=(\S+)\s+(.*)", re.DOTALL)
_FIELDS = ("minute", "hour", "day of month", "month", "day of week")
# Letters other than names of months and days, "#": extensions that other crons have.
_FIELD = re.compile(r"(?:[0-9*/,?-]|[A-Za-z]{3})+")


class _Wall(CronSim):
    """
    Iterates over wall times, also in zones whose clocks change by half an hour.

    CronSim jumps to the next hour and to the only minute of an expression as if every hour had 60
    minutes; where the clock changes by less it lands on another minute and passes instants.
    """

    def advance_hour(self) -> bool:
        if self.dt.hour in self.hours:
            return False
        self.dt = self.dt.replace(second=0)
        while self.dt.hour not in self.hours:
            before = self.dt
            self.tick(60 * (60 - before.minute))
            if self.dt.utcoffset() != before.utcoffset():
                self.dt = before
                while self.dt.hour == before.hour:
                    self.tick(60)
            if self.dt.hour == 0:
                break  # the day is checked again
        return True

    def advance_minute(self) -> bool:
        before = self.dt.replace(second=0)
        is_moved = super().advance_minute()
        if is_moved and self.dt.utcoffset() != before.utcoffset():
            self.dt = before
            while self.dt.minute not in self.minutes:
                self.tick(60)
                if self.dt.minute == 0:
                    break  # the hour is checked again
        return is_moved


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """Fires whenever the wall time of ``zone`` matches the five fields of ``expression``."""

    expression: str
    zone: str = "UTC"

    def find_next(self, after: datetime) -> datetime | None:
        """Return the first instant after ``after``; None past the end of the calendar."""
        return next(self._iterate(after), None)

    def count_until(self, first: datetime, until: datetime) -> int:
        """Count the instants from ``first`` to ``until``, both included, up to MOST_COUNTED."""
        instants = self._iterate(first - timedelta(microseconds=1))
        passed = takewhile(lambda instant: instant <= until, instants)
        return sum(1 for _ in islice(passed, MOST_COUNTED))

    def _iterate(self, after: datetime) -> Iterator[datetime]:
        """Return the instants after ``after``, each later than those before."""
        if after >= _LAST:
            return iter(())
        wall_times = _Wall(self.expression, after.astimezone(ZoneInfo(self.zone)))
        # In the second pass of a repeated hour the iterator may begin before its start.
        rising = accumulate((local.astimezone(UTC) for local in wall_times), max)
        return (instant for instant, _ in groupby(rising) if instant > after)


@dataclass(frozen=True, slots=True)
class RateSchedule:
    """Fires at ``anchor`` + k * ``interval``: from k = 0 on if ``from_anchor``, else from 1."""

    interval: timedelta
    anchor: datetime
    from_anchor: bool = False

    def find_next(self, after: datetime) -> datetime | None:
        """Return the first instant after ``after``; None past the end of the calendar."""
        first = 0 if self.from_anchor else 1
        steps = max((after - self.anchor) // self.interval + 1, first)
        if steps > (_LAST - self.anchor) // self.interval:
            return None
        return self.anchor + steps * self.interval

    def count_until(self, first: datetime, until: datetime) -> int:
        """Count the instants from ``first`` (which is one) to ``until``, both included."""
        return max((until - first) // self.interval + 1, 0)


Schedule = CronSchedule | RateSchedule


def find_last(schedule: Schedule, first: datetime, until: datetime) -> datetime:
    """
    Return the last instant from ``first``, which is one, up to ``until``, or ``first`` if none follows.

    It is searched by bisection, because there may be a million between them.
    """
    last, gap_end = first, until  # no instant is after ``gap_end``
    while gap_end - last > _SHORTEST_GAP:
        middle = last + (gap_end - last) / 2
        found = schedule.find_next(middle)
        if found is not None and found <= gap_end:
            last = found
        else:
            gap_end = middle
    following = schedule.find_next(last)
    return following if following is not None and following <= until else last


def list_from(schedule: Schedule, first: datetime, most: int) -> Sequence[datetime]:
    """Return ``first``, which is an instant, and those after it; ``most`` at most."""
    found = [first]
    while len(found) < most and (following := schedule.find_next(found[-1])) is not None:
        found.append(following)
    return found


def render_local(schedule: Schedule, instant: datetime) -> str:
    """Return an instant as ISO 8601 in the schedule's zone; a rate is in UTC."""
    zone = ZoneInfo(schedule.zone) if isinstance(schedule, CronSchedule) else UTC
    return instant.astimezone(zone).isoformat()


def parse_cron(text: str, zone: str, *, field: str) -> CronSchedule:
    """Parse five fields or a descriptor like @daily; InvalidError names the part that is wrong."""
    if len(text) > MAX_TEXT or len(zone) > MAX_TEXT:
        raise InvalidError(f"{field}: expression and time zone have at most {MAX_TEXT} characters")
    expression = text.strip()
    prefixed = _ZONE_PREFIX.fullmatch(expression)
    if prefixed is not None:
        if zone not in ("", prefixed[1]):
            raise InvalidError(
                f"{field}: the expression says zone {prefixed[1]}, timezone says {zone}; name one"
            )
        zone, expression = prefixed[1], prefixed[2].strip()
    zone = zone or "UTC"
    _require_zone(zone, field)
    if expression.startswith("@"):
        if expression.lower() not in _DESCRIPTORS:
            raise InvalidError(
                f"{field}: {expression!r} is not known; use one of {', '.join(_DESCRIPTORS)},"
                " a rate, or five fields"
            )
        return CronSchedule(_DESCRIPTORS[expression.lower()], zone)
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        raise InvalidError(
            f"{field}: {expression!r} has {len(fields)} fields; write five:"
            " minute, hour, day of month, month, day of week"
        )
    for position, (name, value) in enumerate(zip(_FIELDS, fields, strict=True), start=1):
        _require_field(value, position, name, field)
    # cronsim decides at changes of the clock by minute and hour; only the hour shall decide.
    minute = fields[0].replace("?", "*").replace("*", "0-59")
    expression = " ".join((minute, *fields[1:])).replace("?", "*")
    try:
        CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise InvalidError(f"{field}: {text!r} never fires: {error}") from error
    return CronSchedule(expression, zone)


def parse_rate(interval: timedelta, start: datetime | None, now: datetime) -> RateSchedule:
    """Return a fixed rate from its start time; without one, from ``now``, which is then stored."""
    if not timedelta(0) < interval <= MAX_INTERVAL:
        raise InvalidError(
            "automation_spec.schedule.rate: must be from one minute to"
            f" {MAX_INTERVAL.days} days, not {interval}"
        )
    return RateSchedule(interval, now if start is None else start, start is not None)


def _require_zone(zone: str, field: str) -> None:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidError(
            f"{field}: time zone {zone!r} is not known; use an IANA name such as Europe/London"
        ) from error


def _require_field(value: str, position: int, name: str, field: str) -> None:
    where = f"{field}: field {position} ({name}) is {value!r}"
    if _FIELD.fullmatch(value) is None:
        raise InvalidError(f"{where}: not a list of numbers, names, ranges and steps")
    expression = ["*"] * len(_FIELDS)
    expression[position - 1] = value.replace("?", "*")
    try:
        CronSim(" ".join(expression), datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise InvalidError(f"{where}: {error}") from error
