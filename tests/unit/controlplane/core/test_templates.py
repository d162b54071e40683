"""Templates of notifications."""

import html

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.templates import parse_template

KNOWN = ("Phase", "Run.Name")


def test_template_gets_the_values_of_its_fields() -> None:
    template = parse_template("{{.Run.Name}} is {{ .Phase }}!", "body", KNOWN)

    assert template.render({"Run.Name": "r1", "Phase": "FAILED"}) == "r1 is FAILED!"
    assert template.literal == " is !"


def test_value_of_a_template_is_escaped_and_its_text_is_not() -> None:
    template = parse_template("<b>{{.Phase}}</b>", "body", KNOWN)

    assert template.render({"Phase": "<i>"}, html.escape) == "<b>&lt;i&gt;</b>"


def test_value_that_looks_like_a_field_stays_text() -> None:
    template = parse_template("{{.Phase}}", "body", KNOWN)

    assert template.render({"Phase": "{{.Run.Name}}"}) == "{{.Run.Name}}"


@pytest.mark.parametrize("source", ["", "plain", "{task.name}", "}}", "{ {.Phase}}"])
def test_template_without_fields_is_its_text(source: str) -> None:
    assert parse_template(source, "body", KNOWN).render({}) == source


@pytest.mark.parametrize(
    "source",
    [
        "{{if .Phase}}", "{{.Phase | print}}", "{{.Phase", "{{Phase}}", "{{}}", "{{- .Phase}}",
        "{{/* note */}}", "{{.Run.Name.}}",
    ],
)  # fmt: skip
def test_template_that_is_more_than_fields_is_refused(source: str) -> None:
    with pytest.raises(InvalidError, match=r"body: .* is not a field; .*\{\{\.Phase\}\}"):
        parse_template(source, "body", KNOWN)


def test_template_with_an_unknown_field_is_refused_with_those_it_may_name() -> None:
    with pytest.raises(InvalidError, match=r"no field \{\{\.Nope\}\}; use .*\{\{\.Run\.Name\}\}"):
        parse_template("{{.Nope}}", "body", KNOWN)
