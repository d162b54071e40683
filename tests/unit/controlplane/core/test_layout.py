"""Layout of the object store: URIs below an org's base."""

import pytest

from controlplane.core import layout
from shared.model.ids import ActionName, DomainName, ProjectName
from tests.factories import ORG, make_run_key

BASE = "s3://bucket/volary"
RUN_BASE = layout.run_base(BASE, ORG, make_run_key("r1"))
ACTION = ActionName("a1")


def test_action_uris_belong_to_their_org_alone() -> None:
    prefix = layout.output_prefix(RUN_BASE, ACTION, 2)
    uris = [
        layout.action_base(RUN_BASE, ACTION),
        layout.input_uri(RUN_BASE, ACTION),
        layout.raw_data_prefix(RUN_BASE, ACTION, 2),
        layout.outputs_uri(prefix),
        layout.error_uri(prefix),
        layout.report_uri(prefix),
        layout.log_uri(prefix),
        layout.uploaded_inputs_uri(BASE, ORG, ProjectName("p"), DomainName("d"), "digest"),
        layout.upload_uri(
            BASE, ORG, ProjectName("p"), DomainName("d"), root="root", filename="f.tar.gz"
        ),
    ]
    assert len(set(uris)) == len(uris)
    assert all(layout.belongs_to(BASE, ORG, uri) for uri in uris)
    assert not any(layout.is_of_another_org(BASE, ORG, uri) for uri in uris)


def test_attempts_have_separate_output_prefixes() -> None:
    first, second = (layout.output_prefix(RUN_BASE, ACTION, number) for number in (1, 2))
    assert not first.startswith(f"{second}/")
    assert first != second
    assert layout.raw_data_prefix(RUN_BASE, ACTION, 1) != layout.raw_data_prefix(
        RUN_BASE, ACTION, 2
    )


@pytest.mark.parametrize("base", ["s3://mine/raw", "s3://mine/raw/"])
def test_raw_data_prefix_is_below_the_base_of_the_run(base: str) -> None:
    found = layout.raw_data_prefix(RUN_BASE, ACTION, 3, raw_data_base=base)
    assert found == "s3://mine/raw/r1/a1/3"


@pytest.mark.parametrize(
    "uri",
    [
        f"{BASE}/other/p/d/r1/inputs.pb",
        f"{BASE}/{ORG}/../other/inputs.pb",
        f"{BASE}/{ORG}x/inputs.pb",
        f"{BASE}",
        f"{BASE}/other",
    ],
)
def test_uri_of_another_org_does_not_belong_to_the_org(uri: str) -> None:
    assert not layout.belongs_to(BASE, ORG, uri)
    assert layout.is_of_another_org(BASE, ORG, uri)


def test_uri_outside_the_store_belongs_to_no_org() -> None:
    assert not layout.is_of_another_org(BASE, ORG, "s3://elsewhere/f")
    assert not layout.belongs_to(BASE, ORG, "s3://elsewhere/f")


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("p/d/r1/a0/1/outputs.pb", ("p", "d")),
        ("uploads/p/d/root/file", ("p", "d")),
        ("p/d", ("p", "d")),
        ("p/", ("p", "")),
        ("p//d/r1", ("p", "")),
        ("p", ("p", "")),
        ("", ("", "")),
        ("uploads/", ("", "")),
        ("/p/d/r1", ("", "")),
        ("./p/d/r1", ("", "")),
        ("p/./d/r1", ("", "")),
        ("uploads//p/d/file", ("", "")),
    ],
)
def test_scope_of_a_uri_is_its_project_and_domain(path: str, scope: tuple[str, str]) -> None:
    assert layout.scope_of(BASE, ORG, f"{BASE}/{ORG}/{path}") == scope


def test_scope_of_every_uri_that_is_made_is_its_project_and_domain() -> None:
    project, domain = ProjectName("p"), DomainName("d")
    made = (
        layout.upload_uri(BASE, ORG, project, domain, root="r", filename="f"),
        layout.uploaded_inputs_uri(BASE, ORG, project, domain, "0" * 64),
    )
    assert {layout.scope_of(BASE, ORG, uri) for uri in made} == {(project, domain)}


def test_program_of_a_tracked_run_uploads_into_its_org_and_replaces_its_report_alone() -> None:
    run = make_run_key("r1")
    base = layout.tracked_run_base(BASE, ORG, run)
    assert layout.belongs_to(BASE, ORG, base)
    assert base.endswith("/r1")
    assert layout.may_be_replaced(f"{layout.TRACKED_RUNS}/r1/a0", layout.REPORT)
    assert not layout.may_be_replaced(f"{layout.TRACKED_RUNS}/r1/a0", layout.INPUTS)
    assert not layout.may_be_replaced("elsewhere", layout.REPORT)


def test_prefix_of_another_attempt_is_beside_the_first() -> None:
    first, second = (layout.output_prefix(RUN_BASE, ACTION, number) for number in (1, 2))
    assert layout.prefix_of_attempt(first, 2) == second


@pytest.mark.parametrize(
    ("path", "run"),
    [
        ("p/development/r1/a1/inputs.pb", "r1"),
        ("p/development/r1/a1/2/raw/file", "r1"),
        ("uploads/p/development/tracked-runs/r1/a0/inputs.pb", "r1"),
        ("uploads/p/development/root/file", None),
        ("uploads/p/development/tracked-runs", None),
        ("p/development/inputs/digest/inputs.pb", None),
        ("p/development/r1", None),
        ("p/development//a1/inputs.pb", None),
        ("p//r1/a1/inputs.pb", None),
        ("p", None),
    ],
)
def test_uri_names_the_run_in_whose_data_it_lies(path: str, run: str | None) -> None:
    found = layout.run_of(BASE, ORG, f"{BASE}/{ORG}/{path}")
    assert found == (None if run is None else make_run_key(run))
