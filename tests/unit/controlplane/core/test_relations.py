"""Relations between runs: when a root is recovered, and names of actions that a run lacks."""

from dataclasses import replace

import pytest

from controlplane.core.actions import RunSource
from controlplane.core.errors import InvalidError
from controlplane.core.relations import (
    Counterpart,
    Relation,
    RelationType,
    SourceRun,
    require_known,
)
from shared.kit.uuids import new_uuid
from shared.model.ids import ActionName, Digest, RunId, RunName
from shared.model.phases import SUCCESSES, TERMINAL, Phase
from tests.factories import NOW, make_new_run, make_run_key

SPEC = Digest(b"spec")
SOURCE = SourceRun(
    id=RunId(new_uuid(NOW)),
    key=make_run_key("r1"),
    phase=Phase.SUCCEEDED,
    spec=SPEC,
    input_uri="file:///inputs.pb",
    root=Counterpart(output_uri="file:///r1/a0/1", value=None, executed_in=RunName("r1")),
)


def test_successes_are_phases_that_end_an_action() -> None:
    assert {Phase.SUCCEEDED, Phase.RECOVERED} == SUCCESSES
    assert SUCCESSES < TERMINAL


@pytest.mark.parametrize("phase", Phase)
def test_source_run_is_live_until_its_root_has_ended(phase: Phase) -> None:
    assert replace(SOURCE, phase=phase).is_live is (phase not in TERMINAL)


@pytest.mark.parametrize("phase", SUCCESSES)
def test_root_with_the_same_task_and_inputs_as_one_that_succeeded_is_recovered(
    phase: Phase,
) -> None:
    assert replace(SOURCE, phase=phase).recovers_root(SPEC, SOURCE.input_uri)


def test_root_with_another_task_or_other_inputs_or_of_a_failed_run_is_not_recovered() -> None:
    assert not SOURCE.recovers_root(Digest(b"other"), SOURCE.input_uri)
    assert not SOURCE.recovers_root(SPEC, "file:///others.pb")
    assert not replace(SOURCE, phase=Phase.FAILED).recovers_root(SPEC, SOURCE.input_uri)


def test_related_run_is_one_of_the_same_project_and_domain() -> None:
    new = replace(make_new_run("r2"), relation=Relation(RelationType.RERUN, RunName("r1")))
    assert new.related_run == make_run_key("r1")
    assert make_new_run("r2").related_run is None


def test_run_is_spawned_by_its_related_run_only_if_a_task_of_that_started_it() -> None:
    for kind in RelationType:
        new = replace(make_new_run("r2"), relation=Relation(kind, RunName("r1")))
        assert new.spawned_by == (make_run_key("r1") if kind is RelationType.SPAWN else None)
    assert make_new_run("r2").spawned_by is None


def test_run_is_tracked_if_a_program_outside_of_any_cluster_runs_it() -> None:
    assert replace(make_new_run(), source=RunSource.TRACKED).is_tracked
    assert not make_new_run().is_tracked


def test_names_that_the_source_run_has_are_accepted() -> None:
    require_known([], SOURCE.key)


def test_unknown_names_are_listed_sorted_with_the_command_that_lists_the_known() -> None:
    with pytest.raises(InvalidError, match="no actions a, b; `flyte get action r1`"):
        require_known([ActionName("b"), ActionName("a")], SOURCE.key)


def test_message_about_many_unknown_names_has_ten_and_counts_the_rest() -> None:
    unknown = [ActionName(f"a{number:02}") for number in range(25)]
    with pytest.raises(InvalidError, match=r"a08, a09 and 15 more;"):
        require_known(unknown, SOURCE.key)
