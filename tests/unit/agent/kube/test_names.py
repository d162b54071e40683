"""Tests of Kubernetes names: always valid, never the same for two different texts."""

import string

from hypothesis import example, given, strategies as st

from dataplane.agent.kube.names import (
    as_dns_label,
    as_label,
    is_dns_label,
    is_label_key,
    is_label_value,
    render_namespace,
)

TEMPLATE = "{project}-{domain}"
_NAME = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
# Short names of few letters meet each other far more often than long ones.
_CLOSE = st.from_regex(r"[ab]([-ab]{0,4}[ab])?", fullmatch=True)
_NAMES = st.tuples(st.one_of(_CLOSE, _NAME), st.one_of(_CLOSE, _NAME))
_TEXTS = st.one_of(st.text(max_size=90), st.text("ab-_.", max_size=6))


def render(names: tuple[str, str], template: str = TEMPLATE) -> str:
    project, domain = names
    return render_namespace(template, {"org": "acme", "project": project, "domain": domain})


@given(_NAMES, _NAMES)
@example(("a-b", "c"), ("a", "b-c"))
@example(("p" * 63, "development"), ("p" * 63, "production"))
@example(("p" * 62, "development"), ("p" * 62, "staging"))
def test_namespace_is_unique_to_project_and_domain(
    first: tuple[str, str], second: tuple[str, str]
) -> None:
    assert is_dns_label(render(first))
    assert (render(first) == render(second)) == (first == second)


@given(_NAMES, _NAMES, st.sampled_from(["{project}{domain}", "x-{domain}.{project}", "{org}"]))
def test_namespace_is_unique_in_other_templates(
    first: tuple[str, str], second: tuple[str, str], template: str
) -> None:
    same = template == "{org}" or first == second
    assert is_dns_label(render(first, template))
    assert (render(first, template) == render(second, template)) == same


@given(_NAMES)
def test_namespace_with_digest_is_not_another_projects_name(names: tuple[str, str]) -> None:
    made = render(names)
    for position in [at for at, sign in enumerate(made) if sign == "-"]:
        other = (made[:position], made[position + 1 :])
        if all(map(is_dns_label, other)) and other != names:
            assert render(other) != made


def test_namespace_of_plain_names_is_unchanged() -> None:
    assert render(("flytesnacks", "development")) == "flytesnacks-development"
    assert render(("team-a", "production")) == "team-a-production"
    assert render(("any", "any"), "tasks") == "tasks"
    assert render(("p", "pre-prod")).startswith("p-pre-prod-")  # "p-pre-prod" is "p-pre"'s


@given(_TEXTS, _TEXTS)
@example("x" * 80, "x" * 81)
@example("a b", "a/b")
@example("", "/")
def test_labels_are_valid_and_unique(first: str, second: str) -> None:
    assert is_label_value(as_label(first))
    assert (as_label(first) == as_label(second)) == (first == second)
    assert is_dns_label(as_dns_label(first))
    assert (as_dns_label(first) == as_dns_label(second)) == (first == second)


@given(_TEXTS)
def test_label_of_rewritten_label_differs(text: str) -> None:
    if as_label(text) != text:
        assert as_label(as_label(text)) != as_label(text)


def test_valid_label_is_unchanged() -> None:
    assert as_label("Team_A.1") == "Team_A.1"
    assert as_label("") == ""
    assert as_label("a b/ü").startswith("a-b")


def test_label_keys_are_validated_like_kubernetes() -> None:
    for key in ("ok", "x/y", "a.b-c/Some_Key.1", "x" * 63, f"{'a' * 253}/x"):
        assert is_label_key(key), key
    wrong = ["", "propriétaire", "größe", "team..x/owner", "x/", "/x", "a/b/c", "-x", "x-", "X/y"]
    for key in [*wrong, "x" * 64, f"{'a' * 254}/x", "a b", "x\n", *string.punctuation]:
        assert not is_label_key(key), key
