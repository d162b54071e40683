"""Scoped settings: resolution from the org down to a project, and the rules of values."""

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.scoped_settings import (
    InForce,
    Setting,
    SettingsRecord,
    require_consistent,
    require_valid,
    resolve,
)
from controlplane.core.scopes import Scope, ScopeLevel, list_scopes, parse_scope
from controlplane.core.setting_rules import Value

ORG, OF_DOMAIN, OF_PROJECT = Scope(), Scope("d"), Scope("d", "p")


def record(scope: Scope, **values: Value | None) -> SettingsRecord:
    named = {key.replace("__", "."): Setting(value) for key, value in values.items()}
    return SettingsRecord(scope=scope, settings=named, version=1)


def test_scopes_of_a_project_are_listed_broadest_first() -> None:
    assert list_scopes(OF_PROJECT) == (ORG, OF_DOMAIN, OF_PROJECT)
    assert list_scopes(OF_DOMAIN) == (ORG, OF_DOMAIN)
    assert list_scopes(ORG) == (ORG,)
    assert [str(each) for each in list_scopes(OF_PROJECT)] == [
        "the org",
        "domain d",
        "project p, domain d",
    ]


def test_scope_of_a_project_without_its_domain_is_refused() -> None:
    assert parse_scope("d", "p", field="key", what="the settings") == OF_PROJECT
    assert parse_scope("", "", field="key", what="the settings") == ORG
    with pytest.raises(InvalidError, match=r"key\.domain"):
        parse_scope("", "p", field="key", what="the settings")


def test_narrower_settings_override_and_unset_ones_cut_off() -> None:
    found = resolve([
        record(ORG, run__default_queue="a", pod_template_name="t", labels={"x": "1", "y": "1"}),
        record(OF_DOMAIN, run__default_queue="b", labels={"y": "2"}),
        record(OF_PROJECT, pod_template_name=None, security__service_account=None),
    ])  # fmt: skip

    assert found == {
        "run.default_queue": InForce("b", ScopeLevel.DOMAIN),
        "labels": InForce({"x": "1", "y": "2"}, ScopeLevel.DOMAIN),
    }


def test_map_below_an_unset_map_has_its_own_entries_only() -> None:
    found = resolve([
        record(ORG, labels={"x": "1"}),
        record(OF_DOMAIN, labels=None),
        record(OF_PROJECT, labels={"y": "2"}),
    ])  # fmt: skip

    assert found["labels"].value == {"y": "2"}


def test_minimum_above_its_maximum_is_refused_and_others_are_not() -> None:
    require_consistent(resolve([record(ORG, task_resource__min__cpu="500m")]))
    least = record(OF_DOMAIN, task_resource__min__cpu="1", task_resource__min__memory="x")
    most = record(ORG, task_resource__max__cpu="1", task_resource__max__memory="1Gi")
    require_consistent(resolve([most, least]))
    with pytest.raises(InvalidError, match=r"the org sets to 1"):
        require_consistent(resolve([most, record(OF_DOMAIN, task_resource__min__cpu="2")]))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("run.default_queue", "a"),
        ("run.max_action_concurrency", 0),
        ("task_resource.min.cpu", "500m"),
        ("task_resource.max.gpu", "2"),
        ("task_resource.mirror_limits_request", True),
        ("security.service_account", "trainer"),
        ("labels", {"example.com/x": "1"}),
        ("annotations", {"x": "any text"}),
        ("environment_variables", {"A": "1"}),
        ("labels", None),
    ],
)  # fmt: skip
def test_settings_that_a_run_can_be_given_are_valid(key: str, value: Value | None) -> None:
    require_valid({key: Setting(value)})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("run.default_queue", ""),
        ("run.default_queue", 1),
        ("run.run_base_dir", "x" * 2000),
        ("run.max_action_concurrency", 1),
        ("run.max_action_concurrency", "many"),
        ("task_resource.min.cpu", "5potatoes"),
        ("task_resource.max.gpu", "0.5"),
        ("task_resource.mirror_limits_request", False),
        ("security.service_account", "Not A Name"),
        ("labels", {f"l{number}": "" for number in range(65)}),
        ("labels", {"a b": "1"}),
        ("labels", {"volary.dev/x": "1"}),
        ("labels", {"x": "a b"}),
        ("annotations", {"x": "\0"}),
        ("environment_variables", {"1A": "x"}),
        ("environment_variables", {"RUN_NAME": "x"}),
        ("environment_variables", {"A": "\0"}),
        ("environment_variables", {"A": "x" * 70_000}),
        ("app.disallow_anonymous", True),
    ],
)  # fmt: skip
def test_settings_that_no_run_could_be_given_are_invalid(key: str, value: Value) -> None:
    with pytest.raises(
        InvalidError, match=key.partition(".")[0] if len(str(value)) < 9999 else "bytes"
    ):
        require_valid({key: Setting(value)})
