"""The chart's permissions are the agent's own table, and that is in good order."""

from itertools import groupby

from dataplane.agent.doctor.permissions import PLUGINS, TABLE, Feature, rules_of
from scripts.permissions import PERMISSIONS, permissions


def test_chart_roles_match_the_permission_table() -> None:
    assert PERMISSIONS.read_text() == permissions(), "run: python -m scripts.permissions"


def test_roles_grant_no_wildcards() -> None:
    for rule in TABLE:
        assert "*" not in {rule.group, rule.resource, *rule.verbs}
        assert rule.verbs
        assert not {"bind", "escalate", "impersonate", "deletecollection"} & set(rule.verbs)


def test_create_is_not_granted_by_resource_name() -> None:
    # The API server knows no name when something is made, listed or watched: such a rule
    # would grant nothing.
    for rule in TABLE:
        if rule.named is not None:
            assert not {"create", "list", "watch"} & set(rule.verbs), rule


def test_verbs_are_sorted_and_unique() -> None:
    for rule in TABLE:
        assert list(rule.verbs) == sorted(set(rule.verbs)), rule
    keyed = sorted((rule.feature, rule.scope, rule.group, rule.resource) for rule in TABLE)
    for key, group in groupby(keyed):
        rules = [
            rule for rule in TABLE if (rule.feature, rule.scope, rule.group, rule.resource) == key
        ]
        assert len(list(group)) == len({rule.named for rule in rules}), key


def test_secrets_are_read_by_name_alone() -> None:
    for rule in TABLE:
        if rule.resource == "secrets" and not set(rule.verbs) <= {"create", "delete"}:
            assert rule.named is not None


def test_disabled_feature_grants_nothing() -> None:
    plain = list(rules_of([]))
    assert {rule.feature for rule in plain} == {Feature.AGENT}
    for plugin in PLUGINS:
        assert {rule.feature for rule in rules_of([plugin])} == {Feature.AGENT, plugin}
