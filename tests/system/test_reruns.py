"""``flyte rerun`` in all its forms: what runs again, and what is taken over from the other run."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.common.run_pb2 import RelationType
from flyteidl2.workflow.run_definition_pb2 import ActionDetails
from flyteidl2.workflow.run_service_pb2 import (
    EventPayload,
    GetActionDataURIsRequest,
    GetRunDetailsRequest,
    SignalEventRequest,
)

from tests.running import until
from tests.system.api_client import ApiClient, action_id
from tests.system.commands import Flyte
from tests.system.stack import Stack
from tests.system.test_conditions import asked
from tests.system.values import Value

SUCCEEDED = ActionPhase.ACTION_PHASE_SUCCEEDED
FAILED = ActionPhase.ACTION_PHASE_FAILED
RECOVERED = ActionPhase.ACTION_PHASE_RECOVERED
TEN: list[Value] = list(range(10))


@dataclass(frozen=True, slots=True)
class Runs:
    """Starts runs of ``recovering.py`` that share a journal, and reads what ran in which."""

    api: ApiClient
    flyte: Flyte
    journal: Path

    async def fail(self, task: str = "main", **inputs: Value) -> str:
        """Start a run that fails, and return its name; what it journalled is dropped."""
        root = await self.api.start(f"recovering.{task}", journal=str(self.journal), **inputs)
        await self.api.phase(root, FAILED)
        self.journal.write_text("")
        return str(root.run.name)

    def mend(self) -> None:
        self.journal.with_name("mended").touch()

    def rerun(self, run: str, *options: str) -> str:
        return self.flyte("rerun", run, *options).run

    def refusal(self, run: str, *options: str) -> str:
        """Return why the command, which ends with 0 in any case, has created no run."""
        text = self.flyte("rerun", run, *options).text
        assert "Created Run" not in text
        return " ".join(text.split())  # it is wrapped, for people

    async def result(self, run: str) -> list[Value]:
        return await self.api.result(action_id(run))

    async def children(self, run: str) -> dict[str, ActionDetails]:
        """Return the details of a run's actions but the root, by name."""
        children = await self.api.children(action_id(run))
        return {each.id.name: await self.api.details(each.id) for each in children}

    def ran(self) -> Counter[str]:
        return Counter(self.journal.read_text().splitlines())


@pytest.fixture
def runs(api: ApiClient, flyte: Flyte, tmp_path: Path) -> Runs:
    return Runs(api, flyte, tmp_path / "journal")


async def failed_name(runs: Runs, run: str) -> str:
    children = await runs.children(run)
    (name,) = [name for name, each in children.items() if each.status.phase == FAILED]
    return name


async def test_rerun_repeats_the_run_with_its_inputs_or_with_changed_ones(runs: Runs) -> None:
    run = await runs.fail(numbers=[2, 7])
    runs.mend()

    same = runs.rerun(run)
    changed = runs.rerun(run, "--numbers", "[3, 7]")

    assert await runs.result(same) == [53]
    assert await runs.result(changed) == [58]
    assert runs.ran() == {"main": 2, "square 2": 1, "square 3": 1, "square 7": 2}
    for again in (same, changed):
        details = (
            await runs.api.runs.get_run_details(GetRunDetailsRequest(run_id=action_id(again).run))
        ).details
        assert details.run_spec.relation.relation_type == RelationType.RELATION_TYPE_RERUN
        assert details.run_spec.relation.related_to.name == run
        assert run in runs.flyte("get", "run", again).text


async def test_rerun_of_one_action_runs_its_task_with_its_inputs(runs: Runs) -> None:
    run = await runs.fail(numbers=[2, 7])
    name = await failed_name(runs, run)
    runs.mend()

    again = runs.rerun(run, "--action-name", name)

    assert await runs.result(again) == [49]
    assert runs.ran() == {"square 7": 1}


async def test_rerun_without_the_inputs_or_outputs_of_the_run_says_what_is_gone(
    runs: Runs,
) -> None:
    run = await runs.fail(numbers=[7])
    runs.mend()
    repeated = runs.rerun(run)
    await runs.result(repeated)
    uris = await runs.api.runs.get_action_data_u_r_is(
        GetActionDataURIsRequest(action_id=action_id(repeated))
    )
    _path(uris.outputs_uri).unlink()

    assert "outputs are no longer in storage" in runs.refusal(repeated)
    allowed = runs.rerun(repeated, "--allow-missing-outputs")
    assert await runs.result(allowed) == [49]
    kept = await runs.api.runs.get_action_data_u_r_is(
        GetActionDataURIsRequest(action_id=action_id(allowed))
    )
    assert kept.inputs_uri == uris.inputs_uri

    _path(uris.inputs_uri).unlink()
    assert "inputs are no longer in storage" in runs.refusal(repeated)


async def test_recovery_of_a_fan_out_runs_what_failed_and_its_recovery_names_the_first_run(
    runs: Runs,
) -> None:
    run = await runs.fail(numbers=TEN)
    failed = await failed_name(runs, run)
    again = await _recover_and_fail(runs, run)
    runs.mend()

    last = runs.rerun(again, "--recover")

    assert await runs.result(last) == [285]
    assert runs.ran() == {"main": 1, "square 7": 1}
    children = await runs.children(last)
    assert len(children) == len(TEN)
    for name, child in children.items():
        executed = child.metadata.recovered_from
        if name == failed:
            assert child.status.phase == SUCCEEDED
            assert not executed.name
        else:
            assert child.status.phase == RECOVERED
            assert (executed.run.name, executed.name) == (run, name)
            assert not child.attempts


async def _recover_and_fail(runs: Runs, run: str) -> str:
    again = runs.rerun(run, "--recover")
    await runs.api.phase(action_id(again), FAILED)
    assert runs.ran() == {"main": 1, "square 7": 1}
    runs.journal.write_text("")
    return again


async def test_recovery_runs_named_actions_and_those_with_changed_inputs(runs: Runs) -> None:
    run = await runs.fail(numbers=[1, 2, 7])
    by_result = {
        (await runs.api.outputs(child.id))[0]: name
        for name, child in (await runs.children(run)).items()
        if child.status.phase == SUCCEEDED
    }
    runs.mend()

    forced = runs.rerun(run, "--recover", "--force-rerun-action", by_result[4])
    assert await runs.result(forced) == [54]
    assert runs.ran() == {"main": 1, "square 2": 1, "square 7": 1}
    runs.journal.write_text("")
    changed = runs.rerun(run, "--recover", "--numbers", "[1, 5, 7]")
    assert await runs.result(changed) == [75]
    assert runs.ran() == {"main": 1, "square 5": 1, "square 7": 1}

    refused = runs.refusal(run, "--recover", "--force-rerun-action", "nothing")
    assert f"has no actions nothing; `flyte get action {run}`" in refused


async def test_recovery_of_a_succeeded_run_runs_nothing(runs: Runs) -> None:
    run = await runs.fail(numbers=[7])
    runs.mend()
    succeeded = runs.rerun(run)
    await runs.result(succeeded)
    runs.journal.write_text("")

    again = runs.rerun(succeeded, "--recover")

    root = await runs.api.ended(action_id(again))
    assert root.status.phase == RECOVERED
    assert await runs.api.outputs(root.id) == [49]
    assert runs.ran() == {}


async def test_recovery_replays_succeeded_traces_and_runs_failed_ones(runs: Runs) -> None:
    run = await runs.fail("stepping")
    runs.mend()

    again = runs.rerun(run, "--recover")

    assert await runs.result(again) == ["FIRST SECOND"]
    assert runs.ran() == {"second": 1}
    phases = Counter(each.status.phase for each in (await runs.children(again)).values())
    assert phases == {RECOVERED: 1, SUCCEEDED: 1}


async def test_recovery_that_runs_a_task_again_starts_another_run_of_that_task(
    runs: Runs,
) -> None:
    root = await runs.api.start("recovering.starting", journal=str(runs.journal))
    [spawned] = await runs.result(root.run.name)
    kept = runs.rerun(root.run.name, "--recover")
    forced = runs.rerun(root.run.name, "--recover", "--force-rerun-action", "a0")

    await runs.api.phase(action_id(kept), RECOVERED)
    [again] = await runs.result(forced)
    assert again != spawned
    for name, by in ((spawned, root.run.name), (again, forced)):
        assert await runs.result(str(name)) == [4]
        details = await runs.api.details(action_id(str(name)))
        assert details.metadata.relation.relation_type == RelationType.RELATION_TYPE_SPAWN
        assert details.metadata.relation.related_to.name == by


async def test_recovery_asks_an_answered_condition_only_if_it_is_named(
    runs: Runs,
) -> None:
    api = runs.api
    root = await api.start("recovering.asking", journal=str(runs.journal))
    condition = await asked(api, root)
    await _answer(api, condition.run.name, condition.name, "yes")
    await api.phase(root, FAILED)
    runs.mend()

    again = runs.rerun(root.run.name, "--recover")
    assert await runs.result(again) == ["yes"]
    forced = runs.rerun(root.run.name, "--recover", "--force-rerun-action", condition.name)
    assert (await asked(api, action_id(forced))).name == condition.name
    await _answer(api, forced, condition.name, "no")
    assert await runs.result(forced) == ["no"]


async def _answer(api: ApiClient, run: str, condition: str, answer: str) -> None:
    await api.runs.signal_event(
        SignalEventRequest(
            action_id=action_id(run, condition),
            parent_action_name="a0",
            payload=EventPayload(string_value=answer),
        )
    )


async def test_recovery_outlives_a_kill_of_the_control_plane(
    own_stack: Stack, tmp_path: Path
) -> None:
    flyte = Flyte(own_stack, tmp_path / "home")
    flyte("deploy", "recovering.py", "env")
    runs = Runs(ApiClient(own_stack.url), flyte, tmp_path / "journal")
    run = await runs.fail(numbers=[1, 2, 7])
    runs.mend()

    again = runs.rerun(run, "--recover")
    await until(lambda: runs.journal.exists() and runs.ran()["main"] > 0)
    own_stack.kill()
    own_stack.start()

    assert await runs.result(again) == [54]
    assert runs.ran()["square 1"] == runs.ran()["square 2"] == 0
    assert Counter(each.status.phase for each in (await runs.children(again)).values()) == {
        RECOVERED: 2,
        SUCCEEDED: 1,
    }


def _path(uri: str) -> Path:
    return Path(uri.removeprefix("file://"))
