"""Rules of result caching: the oldest entry, where a run may find entries, attempts' statuses."""

from datetime import UTC, datetime, timedelta

from controlplane.core.caching import (
    MOST_SCOPES,
    CachePlace,
    CacheRequest,
    CacheStatus,
    readable_scopes,
    status_of_attempt,
)
from controlplane.core.callers import Caller, Grant, Permission, Subject, org_wide
from shared.model.ids import DomainName, OrgName, ProjectName

NOW = datetime(2026, 6, 1, tzinfo=UTC)
READ = frozenset({Permission.BLOB_READ})


def make_caller(*grants: Grant) -> Caller:
    return Caller(subject=Subject("user:1"), org=OrgName("acme"), name="", grants=grants)


def test_maximum_age_sets_the_oldest_entry() -> None:
    assert CacheRequest(key="k").oldest(NOW) is None
    hour = timedelta(hours=1)
    assert CacheRequest(key="k", max_age=hour).oldest(NOW) == NOW - hour
    assert CacheRequest(key="k", max_age=timedelta(0)).oldest(NOW) is None


def test_maximum_age_of_the_installation_is_that_of_tasks_that_have_none() -> None:
    hour, day = timedelta(hours=1), timedelta(days=1)
    silent = CacheRequest(key="k")
    assert silent.with_default(day).max_age == day
    assert silent.with_default(None) is silent
    for max_age in (hour, timedelta(0)):
        own = CacheRequest(key="k", max_age=max_age)
        assert own.with_default(day) is own


def test_scopes_are_those_that_the_creator_may_read() -> None:
    caller = make_caller(Grant(READ, "p", "development"), Grant(READ, "q"))
    assert readable_scopes(caller, is_global=True) == ["p/development", "q/"]
    assert readable_scopes(caller, is_global=False) == ()
    assert readable_scopes(make_caller(*org_wide(READ)), is_global=True) is None
    assert readable_scopes(make_caller(), is_global=True) == []


def test_creator_of_too_many_scopes_gets_only_the_own_project() -> None:
    many = [Grant(READ, f"p{number}") for number in range(MOST_SCOPES + 1)]
    assert readable_scopes(make_caller(*many), is_global=True) == ()


def test_only_the_last_attempt_populates() -> None:
    assert status_of_attempt(CacheStatus.POPULATED, is_last=True) is CacheStatus.POPULATED
    assert status_of_attempt(CacheStatus.POPULATED, is_last=False) is CacheStatus.MISS
    assert status_of_attempt(CacheStatus.SKIPPED, is_last=False) is CacheStatus.SKIPPED


def test_place_of_an_entry_is_named_by_project_domain_and_key() -> None:
    place = CachePlace(project=ProjectName("p"), domain=DomainName("d"), key="k1")
    assert str(place) == "p/d/k1"
