"""Tests that notifications fit Postgres payloads, lose nothing, and are parsed back the same."""

from uuid import UUID

import pytest
from hypothesis import given, strategies as st

from controlplane.core.callers import Subject
from controlplane.core.queues import ANY_POOL
from controlplane.store.notify.changes import (
    MAX_PAYLOAD_BYTES,
    Notification,
    parse_notification,
    payloads,
)
from shared.model.ids import OrgName, RunId

orgs = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=63).map(OrgName)
runs = st.lists(st.uuids().map(RunId), max_size=5, unique=True)
stops = st.lists(st.text(max_size=63), max_size=5, unique=True).map(sorted)


def read(
    org: OrgName, run_ids: list[RunId], *, work: list[str], stop: list[str]
) -> list[Notification]:
    output = payloads(org, run_ids, work=work, stops=stop)
    assert all(len(payload.encode()) <= MAX_PAYLOAD_BYTES for payload in output)
    return [parse_notification(payload) for payload in output]


@given(org=orgs, run_ids=runs, stop=stops, work=stops)
def test_notification_that_fits_is_one_payload(
    org: OrgName,
    run_ids: list[RunId],
    stop: list[str],
    *,
    work: list[str],
) -> None:
    notifications = read(org, run_ids, work=work, stop=stop)
    if not (run_ids or work or stop):
        assert notifications == []
        return
    output = Notification(
        org=org,
        runs=run_ids,
        every_run=False,
        work=work,
        stops=stop,
        called=[],
        relays=[],
        cascades=False,
    )
    assert notifications == [output]


@pytest.mark.parametrize("run_count", [0, 1, 1000])
@pytest.mark.parametrize("stop_count", [0, 1, 1000])
@pytest.mark.parametrize("pools", [["p"], [f"{number:063d}" for number in range(1000)]])
def test_notification_that_is_too_long_is_split_without_loss(
    run_count: int, stop_count: int, pools: list[str]
) -> None:
    run_ids = [RunId(UUID(int=number)) for number in range(run_count)]
    stop = [f"{number:063d}" for number in range(stop_count)]
    notifications = read(OrgName("o" * 63), run_ids, work=pools, stop=stop)
    assert {cluster for notification in notifications for cluster in notification.stops} == set(
        stop
    )
    assert any(
        {*pools} <= {*notification.work} or ANY_POOL in notification.work
        for notification in notifications
    )
    if run_count:
        named = {run for notification in notifications for run in notification.runs}
        assert named == set(run_ids) or any(
            notification.every_run for notification in notifications
        )
    assert all(notification.org == "o" * 63 for notification in notifications)


@pytest.mark.parametrize("nonsense", ["", "{", "5", "[]", "{}", '{"o":"x","r":["y"]}'])
def test_malformed_notification_is_an_error(nonsense: str) -> None:
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        parse_notification(nonsense)


def test_notification_of_the_previous_release_means_work_in_any_pool() -> None:
    assert parse_notification('{"o":"acme","w":1}').work == [ANY_POOL]
    assert parse_notification('{"o":"acme","s":["c"]}').work == []


def test_notification_of_an_older_release_names_no_credentials() -> None:
    notification = parse_notification('{"o":"acme"}')
    assert not notification.revoked
    assert not notification.signing_keys
    assert notification.grants == ()


def test_notification_names_subjects_whose_grants_changed() -> None:
    assert parse_notification('{"o":"acme","g":["user:1"]}').grants == (Subject("user:1"),)
    assert parse_notification('{"o":"acme","g":"*"}').grants is None
