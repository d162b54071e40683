"""Layout of the object store; the SDK and the agent depend on these exact paths."""

import pytest

from controlplane.core import layout
from shared.model.ids import ActionName, DomainName, OrgName, ProjectName, RunKey, RunName

BASE = "s3://bucket/base"
ORG = OrgName("acme")
RUN = RunKey(ProjectName("flights"), DomainName("development"), RunName("r1"))
RUN_BASE = "s3://bucket/base/acme/flights/development/r1"
ACTION = ActionName("a0")


def test_layout_attempt_has_its_own_prefix() -> None:
    run_base = layout.run_base(BASE, ORG, RUN)
    first = layout.output_prefix(run_base, ACTION, 1)
    second = layout.output_prefix(run_base, ACTION, 2)

    assert run_base == RUN_BASE
    assert (first, second) == (f"{RUN_BASE}/a0/1", f"{RUN_BASE}/a0/2")
    assert layout.outputs_uri(first) == f"{RUN_BASE}/a0/1/outputs.pb"
    assert layout.error_uri(first) == f"{RUN_BASE}/a0/1/error.pb"
    assert layout.report_uri(first) == f"{RUN_BASE}/a0/1/report.html"
    assert layout.log_uri(first) == f"{RUN_BASE}/a0/1/logs.jsonl.gz"


def test_layout_child_inputs_are_below_the_run_base() -> None:
    assert layout.input_uri(RUN_BASE, ActionName("child")) == f"{RUN_BASE}/child/inputs.pb"


def test_layout_raw_data_prefix_defaults_to_the_attempts() -> None:
    assert layout.raw_data_prefix(RUN_BASE, ACTION, 2) == f"{RUN_BASE}/a0/2/raw"
    elsewhere = layout.raw_data_prefix(RUN_BASE, ACTION, 2, raw_data_base="s3://theirs/raw/")
    assert elsewhere == "s3://theirs/raw/r1/a0/2"


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/base/acme",
        "s3://bucket/base/acme-2/x",
        "s3://bucket/base/other/x",
        "s3://bucket/base/acme/../other/x",
        "s3://bucket/base/acme/x/..",
        "s3://another/base/acme/x",
        "",
    ],
)
def test_layout_uri_outside_the_org_is_not_owned(uri: str) -> None:
    assert not layout.belongs_to(BASE, ORG, uri)


def test_layout_uri_below_the_org_is_owned() -> None:
    assert layout.belongs_to(BASE, ORG, layout.run_base(BASE, ORG, RUN))
    assert layout.belongs_to(BASE, ORG, "s3://bucket/base/acme/a..b/x")
