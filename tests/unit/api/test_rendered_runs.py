"""
We test that a kept run shows what rendering its rows shows, however they were read, and what is
kept.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from flyteidl2.workflow.run_definition_pb2 import EnrichedAction
from hypothesis import given, strategies as st

from controlplane.api.convert.actions import render_action
from controlplane.api.convert.timestamps import to_microseconds
from controlplane.api.rendered_runs import (
    RUN_WEIGHT,
    RenderedKey,
    RenderedRun,
    RenderedRuns,
    render_page,
)
from controlplane.core.actions import ActionRow, SimilarActions, SnapshotPart
from controlplane.core.caching import CacheStatus
from controlplane.core.profiles import Profile
from shared.model.ids import ActionKey, ActionName, OrgName, RunId, RunName
from shared.model.phases import Phase
from tests.unit.action_rows import ADA, NOW, ROW, RUN


def key(name: str = "Ada", run: int = 1) -> RenderedKey:
    return RenderedKey(OrgName("acme"), RunId(UUID(int=run)), ADA, Profile(name))


def child(name: str, change: int, phase: Phase = Phase.QUEUED) -> ActionRow:
    return replace(
        ROW,
        key=ActionKey(RUN, ActionName(name)),
        parent=ROW.key.name,
        phase=phase,
        change=change,
    )


def shown(run: RenderedRun) -> dict[str, EnrichedAction]:
    page = render_page(run.tree.all_shown())
    return {each.action.id.name: each for each in page.enriched_actions}


def similar(rows: Sequence[ActionRow]) -> SimilarActions:
    return SimilarActions(
        example=rows[0],
        names=[row.key.name for row in rows],
        changes=[row.change for row in rows],
        phases=[row.phase for row in rows],
        attempts=[row.attempts for row in rows],
        cache_statuses=[row.cache_status for row in rows],
        created=[to_microseconds(row.created_at) for row in rows],
        started=[microseconds(row.started_at) for row in rows],
        ended=[microseconds(row.ended_at) for row in rows],
    )


def microseconds(at: datetime | None) -> int | None:
    return None if at is None else to_microseconds(at)


@st.composite
def alike(draw: st.DrawFn) -> list[ActionRow]:
    """Draw actions that differ in what similar actions may differ in."""
    times = st.integers(-(10**15), 10**15).map(lambda us: NOW + timedelta(microseconds=us))
    recovered = draw(st.sampled_from([None, RunName("r0")]))
    return [
        replace(
            child(f"c{at}", change=at + 2, phase=draw(st.sampled_from(Phase))),
            recovered_from=recovered,
            attempts=draw(st.integers(0, 5)),
            cache_status=draw(st.sampled_from(CacheStatus)),
            created_at=draw(times),
            started_at=draw(st.none() | times),
            ended_at=draw(st.none() | times),
        )
        for at in range(draw(st.integers(1, 5)))
    ]


@given(alike())
def test_similar_actions_are_rendered_as_their_rows_are(rows: list[ActionRow]) -> None:
    by_set, by_row = RenderedRun(key()), RenderedRun(key())
    by_set.take_snapshot(SnapshotPart(change=rows[-1].change, similar=[similar(rows)]))
    by_row.take(rows)

    assert shown(by_set) == shown(by_row)
    assert by_set.change == by_row.change
    profiles = {ADA: Profile("Ada")}
    for row in rows:
        assert shown(by_set)[row.key.name].action == render_action(row, profiles)


def test_length_of_a_part_of_a_snapshot_is_the_number_of_its_actions() -> None:
    rows = [child("b", 2), child("c", 3)]
    assert len(SnapshotPart(change=4, similar=[similar(rows), similar([child("d", 4)])])) == 3
    assert len(SnapshotPart(change=4, similar=[])) == 0


def test_duration_of_an_action_ends_with_it() -> None:
    run = RenderedRun(key())
    ended = replace(child("b", 2, Phase.SUCCEEDED), ended_at=NOW + timedelta(seconds=2))
    run.take([ended])
    assert shown(run)["b"].action.status.duration_ms == 2_000


def test_older_row_does_not_replace_a_newer_one() -> None:
    run = RenderedRun(key())
    ended = child("b", 5, Phase.SUCCEEDED)
    run.take([ended])
    [taken] = run.take([child("b", 2)])
    run.take_snapshot(SnapshotPart(change=2, similar=[similar([child("b", 2)])]))

    assert taken.phase is Phase.SUCCEEDED
    assert shown(run)["b"].action.status.phase == Phase.SUCCEEDED.value
    assert run.change == 5


def test_descendants_are_counted_in_the_message_of_their_parent() -> None:
    run = RenderedRun(key())
    run.take([ROW, child("b", 2), child("c", 3, Phase.FAILED)])

    counts = dict(shown(run)["a0"].children_phase_counts)
    assert counts == {Phase.QUEUED.value: 1, Phase.FAILED.value: 1}
    assert all(each.meets_filter for each in shown(run).values())


def test_run_is_kept_after_its_last_watcher_and_shown_by_the_creators_present_name() -> None:
    runs = RenderedRuns()
    with runs.watched(key()) as run:
        run.take([ROW])
    with runs.watched(key()) as again, runs.watched(key("Ada Lovelace")) as renamed:
        assert again is run
        assert not len(renamed)
        renamed.take([ROW])
        by = shown(renamed)["a0"].action.metadata.executed_by
        assert by.user.spec.first_name == "Ada Lovelace"


def test_least_recently_watched_runs_are_forgotten_above_the_limit() -> None:
    runs = RenderedRuns(most_kept=4 + 2 * RUN_WEIGHT)
    with runs.watched(key(run=9)) as watched:
        watched.take([child(f"c{at}", at) for at in range(1, 9)])  # counts only once it is left
        for number in (1, 2, 1, 3):
            with runs.watched(key(run=number)) as run:
                run.take([ROW, child("b", 2)])
        sizes = {}
        for number in (1, 3, 2, 9):
            with runs.watched(key(run=number)) as run:
                sizes[number] = len(run)
    assert sizes == {1: 2, 2: 0, 3: 2, 9: 8}


def test_run_without_actions_takes_space_too() -> None:
    runs = RenderedRuns(most_kept=2 * RUN_WEIGHT)
    with runs.watched(key(run=1)) as first:
        assert not len(first)
    for number in (2, 3):
        with runs.watched(key(run=number)):
            pass
    with runs.watched(key(run=1)) as again:
        assert again is not first


def test_run_is_kept_from_its_last_watcher_on_not_from_its_first() -> None:
    runs = RenderedRuns(most_kept=0)
    with runs.watched(key()) as run:
        with runs.watched(key()) as same:
            assert same is run
        with runs.watched(key()) as same:
            assert same is run
    with runs.watched(key()) as another:
        assert another is not run
