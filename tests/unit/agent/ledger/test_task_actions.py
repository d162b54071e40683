"""Tests of the TaskAction codec: round trips, and agreement with the CRD."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataplane.agent.core.active_attempts import ActiveAttempt
from dataplane.agent.kube.objects import TASK_ACTION, Name
from dataplane.agent.ledger.journal import Entry
from dataplane.agent.ledger.taskactions.codec import (
    BadEntryError,
    parse_entry,
    parse_lease,
    render_entry,
    render_status,
)
from shared.model.phases import Phase
from shared.model.reports import ClusterEvent, EventType, Failure, FailureKind, LogLink, Report
from tests.unit.agent.assignments import NOW, make_assignment

ASSIGNMENT = replace(
    make_assignment(3, parent="a0", attempt=2),
    run_started_at=NOW + timedelta(microseconds=123456),
    replaceable=True,
)
HELD = ActiveAttempt(assignment=ASSIGNMENT, accepted_at=NOW + timedelta(microseconds=1))
NAME = Name("p-development", "r1-a3-2-abcdef01")
FAILURE = Failure(
    code="OOMKilled",
    kind=FailureKind.USER,
    message="m" * 2000,
    recoverable=False,
    full_uri="s3://b/e",
)
_DEFINITION = (
    Path(__file__).parents[4] / "infra" / "helm" / "volary-agent" / "crds" / "taskactions.yaml"
)


def make_report(version: int, phase: Phase, **rest: Any) -> Report:
    return Report(
        attempt=ASSIGNMENT.attempt,
        lease=ASSIGNMENT.lease,
        version=version,
        phase=phase,
        at=NOW + timedelta(microseconds=version),
        **rest,
    )


REPORTS = [
    make_report(1, Phase.INITIALIZING, reason="ImagePull", message="ä"),
    make_report(
        2,
        Phase.FAILED,
        failure=FAILURE,
        report_uri="r",
        log_uri="l",
        events=(
            ClusterEvent(
                at=NOW,
                reason="Killed",
                message="by hand",
                type=EventType.WARNING,
                count=3,
                source="kubelet",
            ),
        ),
    ),
]


def make_task_action() -> dict[str, Any]:
    return render_entry(HELD, NAME, {"some": "label"}) | {"status": render_status(REPORTS)}


def test_task_action_round_trips() -> None:
    assert parse_entry(make_task_action()) == Entry(ASSIGNMENT, HELD.accepted_at, REPORTS)
    assert parse_lease(make_task_action()) == str(ASSIGNMENT.lease)

    first = ActiveAttempt(assignment=make_assignment(), accepted_at=NOW)
    assert parse_entry(render_entry(first, NAME, {})) == Entry(make_assignment(), NOW, [])


def test_task_action_reports_are_read_in_version_order_without_gaps() -> None:
    obj = make_task_action()
    report = obj["status"]["reports"]["1"]
    obj["status"]["reports"] = {str(version): report for version in range(11, 0, -1)}
    assert [report.version for report in parse_entry(obj).reports] == list(range(1, 12))

    del obj["status"]["reports"]["7"]
    with pytest.raises(BadEntryError, match="7"):
        parse_entry(obj)


def test_task_action_status_summarizes_last_report() -> None:
    status = render_status(REPORTS)

    assert (status["phase"], status["reason"]) == ("FAILED", "OOMKilled")
    assert len(status["message"]) == 1024
    assert len(status["reports"]["2"]["failure"]["message"]) == 2000


def test_task_action_fields_of_newer_agent_are_ignored() -> None:
    obj = make_task_action()
    obj["spec"]["colour"] = "blue"
    obj["status"]["reports"]["1"]["mood"] = {"good": True}

    assert parse_entry(obj).reports == REPORTS


@pytest.mark.parametrize("field", ["org", "actionId", "lease", "taskSpec", "runStartedAt"])
def test_foreign_task_action_error_names_the_field(field: str) -> None:
    without, wrong = make_task_action(), make_task_action()
    del without["spec"][field]
    wrong["spec"][field] = 5

    with pytest.raises(BadEntryError, match=field):
        parse_entry(without)
    if field != "org":
        with pytest.raises(BadEntryError):
            parse_entry(wrong)


def test_task_action_crd_has_every_written_field() -> None:
    definition = yaml.safe_load(_DEFINITION.read_text())["spec"]
    (version,) = definition["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]
    written = make_task_action()

    assert definition["group"] == TASK_ACTION.group
    assert definition["names"]["plural"] == TASK_ACTION.plural
    assert written["spec"].keys() == schema["spec"]["properties"].keys()
    assert set(schema["spec"]["required"]) <= written["spec"].keys()
    report = schema["status"]["properties"]["reports"]["additionalProperties"]["properties"]
    link = LogLink("elsewhere", "https://logs.test/a1")
    full = replace(REPORTS[1], reason="r", message="m", output_uri="o", log_links=[link])
    rendered = render_status([full])
    assert rendered["reports"]["2"].keys() == report.keys()
    assert rendered["reports"]["2"]["failure"].keys() == report["failure"]["properties"].keys()
