"""Rules of quotas: which limits may be set, and when a day's quota frees."""

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.quotas import (
    LARGEST,
    Limit,
    Quota,
    QuotaUsedUp,
    change_quota,
    exceeded,
    until_midnight,
)
from shared.model.ids import OrgName


@pytest.mark.parametrize("limit", list(Limit))
def test_limit_that_cannot_be_is_refused(limit: Limit) -> None:
    for value in (-1, LARGEST[limit] + 1):
        with pytest.raises(InvalidError, match=f"^{limit}: must be from 0"):
            change_quota(Quota(), {limit: value}, Quota())
    assert change_quota(Quota(), {limit: LARGEST[limit]}, Quota()).get(limit) == LARGEST[limit]


def test_limit_of_a_project_over_the_orgs_is_refused() -> None:
    of_org, project = Quota(actions_per_day=100), Quota(project="p")
    with pytest.raises(InvalidError, match="101 is over the org's limit, 100"):
        change_quota(project, {Limit.ACTIONS_PER_DAY: 101}, of_org)
    changed = change_quota(project, {Limit.ACTIONS_PER_DAY: 100, Limit.TRIGGERS: 7}, of_org)
    assert changed == Quota(project="p", actions_per_day=100, triggers=7)


def test_requests_per_second_of_a_project_are_refused() -> None:
    project = Quota(project="p")
    with pytest.raises(InvalidError, match="limit of the org only"):
        change_quota(project, {Limit.REQUESTS_PER_SECOND: 5}, Quota())
    assert change_quota(project, {Limit.REQUESTS_PER_SECOND: 0}, Quota()) == project


def test_quota_of_a_day_frees_at_midnight_in_utc() -> None:
    assert until_midnight(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)) == timedelta(seconds=1)
    assert until_midnight(datetime(2026, 1, 1, tzinfo=UTC)) == timedelta(days=1)


@pytest.mark.parametrize("limit", list(Limit))
def test_error_names_limit_value_use_and_when_it_frees(limit: Limit) -> None:
    message = str(exceeded(limit, "org acme", 10, 11, retry_after=timedelta(milliseconds=20)))
    assert "of org acme is used up: 11 of 10; it frees" in message
    assert "volary quota show" in message


@pytest.mark.parametrize(("project", "place"), [("", "org acme"), ("p", "project p")])
def test_used_up_quota_says_whose_it_is_and_when_it_frees(project: str, place: str) -> None:
    now = datetime(2026, 11, 29, 22, tzinfo=UTC)
    error = QuotaUsedUp(project, 10, 12).error(OrgName("acme"), now)
    assert f"actions per day of {place} is used up: 12 of 10" in str(error)
    assert error.retry_after == timedelta(hours=2)
