"""Rules of triggers: revisions, and what follows a scheduled instant."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from controlplane.core.schedules import CronSchedule, RateSchedule
from controlplane.core.triggers import (
    MOST_LATE,
    RETRY_AFTER,
    AutomationType,
    NewTrigger,
    Origin,
    RevisionAction,
    TriggerKey,
    TriggerRow,
    advance,
    delete,
    deploy,
    name_run,
    postpone,
    retry,
    set_active,
    skip,
)
from shared.model.ids import DomainName, OrgName, ProjectName
from tests.factories import NOW, ORG

KEY = TriggerKey(ProjectName("p"), DomainName("development"), "env.main", "nightly")
MINUTE = timedelta(minutes=1)
EVERY_MINUTE = CronSchedule("0-59 * * * *")


def make_new(**fields: object) -> NewTrigger:
    new = NewTrigger(
        key=KEY,
        task_version="v1",
        spec=b"spec",
        automation=b"each minute",
        automation_type=AutomationType.SCHEDULE,
        active=True,
        input_uri="file:///inputs.pb",
        schedule=EVERY_MINUTE,
    )
    return replace(new, **fields)  # type: ignore[arg-type]


def deployed(now: datetime = NOW, **fields: object) -> TriggerRow:
    return deploy(make_new(**fields), None, by="ada", now=now)


def test_new_trigger_has_revision_1_and_fires_after_its_deployment() -> None:
    row = deployed()

    assert (row.revision, row.action) == (1, RevisionAction.DEPLOY)
    assert row.fire_at == row.wake_at == NOW + MINUTE
    assert (row.deployed_by, row.updated_by, row.deployed_at) == ("ada", "ada", NOW)


def test_deployment_that_changes_nothing_makes_no_revision() -> None:
    row = deployed()

    assert deploy(make_new(), row, by="bob", now=NOW + MINUTE) is row


@pytest.mark.parametrize(
    "change",
    [
        {"spec": b"other"},
        {"automation": b"other"},
        {"active": False},
        {"origin": Origin.DEPLOYMENT},
        {"input_uri": "file:///other.pb"},
    ],
)
def test_deployment_with_a_change_makes_the_next_revision(change: dict[str, object]) -> None:
    row = deploy(make_new(**change), deployed(), by="bob", now=NOW + MINUTE)

    assert (row.revision, row.deployed_by) == (2, "bob")


def test_instants_that_are_due_stay_due_when_the_schedule_does_not_change() -> None:
    later = NOW + timedelta(minutes=5)

    same = deploy(make_new(spec=b"other"), deployed(), by="ada", now=later)
    changed = deploy(make_new(automation=b"other"), deployed(), by="ada", now=later)

    assert same.fire_at == NOW + MINUTE
    assert changed.fire_at == later + MINUTE


def test_rate_keeps_its_phase_over_deployments_until_it_is_changed() -> None:
    hourly = RateSchedule(timedelta(hours=1), NOW)
    row = deployed(schedule=hourly, active=False)
    later = NOW + timedelta(minutes=90)
    again = RateSchedule(timedelta(hours=1), later)

    same = deploy(make_new(schedule=again), row, by="ada", now=later)
    changed = deploy(make_new(schedule=again, automation=b"other"), row, by="ada", now=later)

    assert same.fire_at == NOW + timedelta(hours=2)
    assert changed.fire_at == later + timedelta(hours=1)


def test_deleted_trigger_is_deployed_again_under_the_next_revision() -> None:
    deleted = delete(deployed(), by="bob", now=NOW + MINUTE)

    again = deploy(make_new(), deleted, by="ada", now=NOW + timedelta(hours=1))

    assert (deleted.revision, deleted.action) == (2, RevisionAction.DELETE)
    assert (deleted.active, deleted.fire_at, deleted.wake_at) == (False, None, None)
    assert deleted.deleted_at == NOW + MINUTE
    assert (again.revision, again.deleted_at) == (3, None)
    assert again.fire_at == NOW + timedelta(hours=1) + MINUTE


def test_activation_catches_nothing_up() -> None:
    inactive = set_active(deployed(), active=False, by="ada", now=NOW)
    active = set_active(inactive, active=True, by="ada", now=NOW + timedelta(hours=1))

    assert (inactive.fire_at, inactive.action) == (None, RevisionAction.DEACTIVATE)
    assert active.fire_at == NOW + timedelta(hours=1) + MINUTE
    assert (active.revision, active.action) == (3, RevisionAction.ACTIVATE)


def test_rate_with_a_start_that_is_activated_later_fires_at_the_next_point_of_its_grid() -> None:
    noon = NOW.replace(hour=12, minute=0)
    each_5_minutes = RateSchedule(timedelta(minutes=5), noon, from_anchor=True)
    row = deployed(noon - timedelta(hours=1), schedule=each_5_minutes, active=False)

    active = set_active(row, active=True, by="ada", now=noon + 4 * MINUTE)

    assert row.fire_at is None
    assert active.fire_at == noon + 5 * MINUTE


def test_activation_of_an_active_trigger_makes_no_revision() -> None:
    row = deployed()

    assert set_active(row, active=True, by="bob", now=NOW) is row


def test_trigger_without_a_schedule_never_fires() -> None:
    assert deployed(schedule=None, automation_type=AutomationType.NONE).fire_at is None


def test_schedule_without_a_next_instant_never_fires() -> None:
    row = deployed(schedule=CronSchedule("0-59 0 29 2 *"))
    end = datetime(9999, 1, 1, tzinfo=NOW.tzinfo)

    after = advance(row, end, NOW)

    assert (after.fire_at, after.wake_at, after.late) == (None, None, 0)
    assert retry(row, end, NOW, error="full").wake_at == NOW + RETRY_AFTER


def test_instants_missed_in_an_outage_fire_one_by_one_up_to_the_limit() -> None:
    row = deployed()
    now = NOW + timedelta(minutes=MOST_LATE + 50, seconds=30)
    fired = []

    while row.fire_at is not None and row.fire_at <= now:
        fired.append(row.fire_at)
        row = advance(row, row.fire_at, now)

    assert fired == [NOW + MINUTE * k for k in range(1, MOST_LATE + 1)]
    assert (row.skipped, row.late) == (50, 0)
    assert "too late" in row.error
    assert row.fire_at == NOW + MINUTE * (MOST_LATE + 51)


def test_instant_on_time_ends_a_row_of_late_ones() -> None:
    row = replace(deployed(), late=7, error="full", error_at=NOW)

    after = advance(row, NOW + MINUTE, NOW + MINUTE)

    assert (after.late, after.error, after.error_at) == (0, "", None)
    assert after.triggered_at == NOW + MINUTE


def test_full_queue_is_tried_again_until_the_next_instant() -> None:
    row, fired = deployed(), NOW + MINUTE

    first = retry(row, fired, fired, error="full")
    last = retry(row, fired, fired + timedelta(seconds=55), error="full")
    over = retry(row, fired, fired + MINUTE, error="full")

    assert (first.fire_at, first.wake_at) == (fired, fired + RETRY_AFTER)
    assert (last.fire_at, last.wake_at) == (fired, fired + MINUTE)
    assert (over.fire_at, over.skipped) == (fired + 2 * MINUTE, 2)
    assert first.error == "full"


def test_refused_instants_up_to_now_are_skipped_and_counted() -> None:
    row = skip(deployed(), NOW + MINUTE, NOW + timedelta(minutes=3), error="x" * 5_000)

    assert (row.fire_at, row.skipped) == (NOW + timedelta(minutes=4), 3)
    assert len(row.error) == 1_000


def test_clock_that_goes_back_does_not_repeat_an_instant() -> None:
    row = skip(deployed(), NOW + MINUTE, NOW - timedelta(hours=1), error="refused")

    assert (row.fire_at, row.skipped) == (NOW + 2 * MINUTE, 1)


def test_postponed_instant_stays_the_same() -> None:
    row = postpone(deployed(), NOW + timedelta(hours=1), error="busy")

    assert (row.fire_at, row.skipped) == (NOW + MINUTE, 0)
    assert row.wake_at == NOW + timedelta(hours=1) + RETRY_AFTER


def test_trigger_without_a_schedule_cannot_advance() -> None:
    with pytest.raises(ValueError, match="nightly has no schedule"):
        advance(deployed(schedule=None), NOW, NOW)


def test_name_of_a_run_follows_from_trigger_and_instant() -> None:
    names = {
        name_run(ORG, KEY, NOW),
        name_run(ORG, KEY, NOW + MINUTE),
        name_run(ORG, replace(KEY, name="weekly"), NOW),
        name_run(OrgName("other"), KEY, NOW),
    }

    assert len(names) == 4
    assert name_run(ORG, KEY, NOW) == name_run(ORG, KEY, NOW)
    assert str(KEY) == "p/development/env.main/nightly"
