"""Triggers by the ``flyte`` command: deployed in code, created, run by the schedule and by hand."""

import re
from pathlib import Path

import pytest
from flyteidl2.common.identifier_pb2 import TriggerName
from flyteidl2.workflow.run_definition_pb2 import Run, RunSource
from flyteidl2.workflow.run_service_pb2 import ListRunsRequest, WatchRunsRequest

from tests.system.api_client import PROJECT_ID, ApiClient, action_id
from tests.system.commands import DOMAIN, PROJECT, Flyte
from tests.system.stack import Stack

EXAMPLES = Path(__file__).parents[2] / "examples"
TRIGGER = TriggerName(project=PROJECT, domain=DOMAIN, task_name="trigger.main", name="each-minute")


@pytest.fixture(scope="module")
def examples(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Flyte:
    """The ``flyte`` command, run in the examples' directory."""
    return Flyte(stack, tmp_path_factory.mktemp("home"), place=EXAMPLES)


async def started(api: ApiClient, source: RunSource) -> Run:
    """Wait for the first run of a source; cron fires once a minute."""
    watch = api.runs.watch_runs(WatchRunsRequest(project_id=PROJECT_ID), timeout_ms=150_000)
    async for answer in watch:
        for run in answer.runs:
            if run.action.metadata.source == source:
                return run
    raise AssertionError("the watch ended before such a run began")


async def test_example_of_a_trigger_runs_on_its_schedule_with_the_scheduled_time(
    api: ApiClient, examples: Flyte
) -> None:
    examples("deploy", "trigger.py", "env")
    listed = examples("get", "trigger").text
    assert "each-minute" in listed
    assert "Europe/London" in listed

    run = await started(api, RunSource.RUN_SOURCE_SCHEDULE_TRIGGER)
    [result] = await api.result(run.action.id)

    assert re.fullmatch(r"\d\d:\d\d:00 in London", str(result))
    assert run.action.metadata.trigger_id.name.name == "each-minute"
    assert run.labels == {"kind": "scheduled"}
    listed_runs = await api.runs.list_runs(ListRunsRequest(trigger_name=TRIGGER))
    assert run.action.id in [each.action.id for each in listed_runs.runs]

    examples("update", "trigger", "each-minute", "trigger.main", "--deactivate")
    assert "False" in examples("get", "trigger", "trigger.main").text
    examples("delete", "trigger", "each-minute", "trigger.main")
    assert "each-minute" not in examples("get", "trigger").text


def test_trigger_is_created_by_command_and_refused_with_the_reason(examples: Flyte) -> None:
    examples("deploy", "trigger.py", "env")

    examples(
        *("create", "trigger", "trigger.main", "hourly", "--schedule", "0 * * * *"),
        *("--trigger-time-var", "when"),
    )
    refused = examples(
        *("create", "trigger", "trigger.main", "never", "--schedule", "61 * * * *"),
        *("--trigger-time-var", "when"),
        expect=1,
    )

    assert "hourly" in examples("get", "trigger", "trigger.main").text
    assert "field 1 (minute) is '61'" in refused.text
    examples("delete", "trigger", "hourly", "trigger.main")
    examples("delete", "trigger", "each-minute", "trigger.main")


async def test_trigger_is_run_by_hand_from_python(api: ApiClient, examples: Flyte) -> None:
    examples("deploy", "trigger.py", "env")

    run = examples.script("run_trigger.py", "trigger.main", "each-minute").run

    assert await api.result(action_id(run)) == ["12:00:00 in London"]
    details = await api.details(action_id(run))
    assert details.metadata.trigger_name == "each-minute"
    assert details.metadata.source == RunSource.RUN_SOURCE_UNSPECIFIED
    examples("delete", "trigger", "each-minute", "trigger.main")


async def test_example_of_an_artifact_trigger_runs_for_a_new_version_that_matches(
    api: ApiClient, examples: Flyte, tmp_path: Path
) -> None:
    examples("deploy", "artifact_trigger.py", "env")
    events = tmp_path / "events.csv"
    for region, lines in (("us", "a\n"), ("eu", "a\nb\n")):
        events.write_text(lines)
        examples(
            *("create", "artifact", "raw-events", "--from-file", str(events)),
            *("--partition", f"region={region}"),
        )

    run = await started(api, RunSource.RUN_SOURCE_ARTIFACT_TRIGGER)

    assert await api.result(run.action.id) == ["2 lines of eu"]
    assert run.action.metadata.trigger_id.name.name == "clean-eu"
    examples("delete", "trigger", "clean-eu", "artifact_trigger.main")


async def test_optional_time_of_a_schedule_is_filled_also_by_hand(
    api: ApiClient, flyte: Flyte
) -> None:
    fired = flyte.script("fire_triggers.py", "scheduled.main").text.splitlines()

    runs = dict(line.split() for line in fired)
    assert await api.result(action_id(runs["yearly"])) == ["all, at the start of its run: True"]
    assert await api.result(action_id(runs["quick"])) == ["eu, at no time"]
