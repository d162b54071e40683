"""Firings of triggers: what is recorded of an instant, and policies for runs that overlap."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.firings import (
    ON_TIME,
    OVERLAP_LABEL,
    FiringOutcome,
    FiringReason,
    parse_overlap,
    record_skipped,
    record_started,
)
from controlplane.core.schedules import CronSchedule
from controlplane.core.triggers import MOST_LATE, Overlap, advance, skip, supersede
from tests.factories import NOW
from tests.unit.controlplane.core.test_triggers import MINUTE, deployed

FIRST = NOW + MINUTE


@pytest.mark.parametrize(
    ("labels", "policy"),
    [
        ({}, Overlap.ALLOW),
        ({"team": "a"}, Overlap.ALLOW),
        ({OVERLAP_LABEL: "allow"}, Overlap.ALLOW),
        ({OVERLAP_LABEL: "skip"}, Overlap.SKIP),
        ({OVERLAP_LABEL: "replace"}, Overlap.REPLACE),
    ],
)
def test_label_of_a_trigger_chooses_its_policy(labels: dict[str, str], policy: Overlap) -> None:
    assert parse_overlap(labels) is policy


def test_unknown_policy_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidError, match=r"'Skip' is no policy .* allow, skip, replace"):
        parse_overlap({OVERLAP_LABEL: "Skip"})


@pytest.mark.parametrize(
    ("lag", "error_at", "reason", "message"),
    [
        (ON_TIME, None, FiringReason.ON_TIME, ""),
        (MINUTE, None, FiringReason.LATE, "no control plane fired it at its instant"),
        (MINUTE, NOW, FiringReason.LATE, "no control plane fired it at its instant"),
        (MINUTE, FIRST, FiringReason.DELAYED, "queue gpu is full"),
    ],
)
def test_run_of_an_instant_is_recorded_with_why_it_is_late(
    lag: timedelta, error_at: datetime | None, reason: FiringReason, message: str
) -> None:
    error = "queue gpu is full" if error_at else ""
    row = replace(deployed(), firings=6, error=error, error_at=error_at)
    now = FIRST + lag

    after, [firing] = record_started(row, advance(row, FIRST, now), FIRST, "r1", now)

    assert (firing.outcome, firing.reason, firing.message) == (
        FiringOutcome.STARTED,
        reason,
        message,
    )
    assert (firing.instant, firing.instants, firing.run) == (FIRST, 1, "r1")
    assert firing.number == after.firings == 7


def test_instants_past_the_limit_are_recorded_after_the_run_that_reached_it() -> None:
    row = replace(deployed(), late=MOST_LATE - 1)
    now = FIRST + 10 * MINUTE

    after, [started, skipped] = record_started(row, advance(row, FIRST, now), FIRST, "r1", now)

    assert (started.number, skipped.number, after.firings) == (1, 2, 2)
    assert (skipped.reason, skipped.instants) == (FiringReason.TOO_LATE, 10)
    assert (skipped.instant, skipped.last_instant) == (FIRST + MINUTE, now)
    assert "too late" in skipped.message


def test_last_instant_of_the_calendar_is_recorded_alone() -> None:
    leap_day = CronSchedule("0-59 0 29 2 *")
    row = deployed(schedule=leap_day)
    end = datetime(9999, 1, 1, tzinfo=NOW.tzinfo)

    _, started = record_started(row, advance(row, end, NOW), end, "r1", NOW)
    _, [skipped] = record_skipped(
        row, skip(row, end, NOW, error="full"), end, NOW, FiringReason.REFUSED
    )

    assert len(started) == 1
    assert skipped.last_instant == end


def test_skipped_instants_are_recorded_as_one_firing_with_their_reason() -> None:
    row = deployed()
    now = FIRST + 3 * MINUTE

    after, [firing] = record_skipped(
        row, skip(row, FIRST, now, error="run r1 has not ended"), FIRST, now, FiringReason.OVERLAP
    )

    assert (firing.outcome, firing.instants, firing.message) == (
        FiringOutcome.SKIPPED,
        4,
        "run r1 has not ended",
    )
    assert (firing.instant, firing.last_instant, firing.run) == (FIRST, now, "")
    assert after.firings == 1


def test_instants_before_the_last_that_is_due_are_superseded() -> None:
    row = deployed()
    now = FIRST + 3 * MINUTE + timedelta(seconds=20)

    after = supersede(row, FIRST, now)
    _, [firing] = record_skipped(row, after, FIRST, now, FiringReason.SUPERSEDED)

    assert (after.fire_at, after.wake_at, after.skipped) == (
        now.replace(second=0),
        after.fire_at,
        3,
    )
    assert (firing.last_instant, firing.instants) == (FIRST + 2 * MINUTE, 3)
    assert firing.message == "a later instant was due as well"
    assert supersede(after, after.fire_at or NOW, now) is after
