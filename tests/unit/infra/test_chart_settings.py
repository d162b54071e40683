"""The charts set variables that the programs read, within the bounds that they accept."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from controlplane import settings as controlplane
from dataplane.agent import settings as agent
from shared.kit.settings import Setting, groups_of

CHARTS = Path(__file__).parents[3] / "infra" / "helm"
SETTINGS = {"volary-controlplane": controlplane.Settings, "volary-agent": agent.Settings}
_SET = re.compile(r"^ *(?:- name: |)(VOLARY_[A-Z0-9_]*[A-Z0-9])(?::(.*)|)$", re.MULTILINE)


def _declared(chart: str) -> Mapping[str, Setting]:
    groups = groups_of(SETTINGS[chart])
    return {each.variable: each for group in groups for each in group.settings}


def _lines(chart: str) -> Mapping[str, str]:
    """Return what the templates set, by variable; those of templated names are left out."""
    files = sorted((CHARTS / chart / "templates").iterdir())
    return {name: text for file in files for name, text in _SET.findall(file.read_text())}


def _node(chart: str, path: str) -> Mapping[str, Any]:
    """Return what the schema says of a value, such as ``database.poolSize``."""
    schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
    node: dict[str, Any] = schema
    for name in path.split("."):
        node = node["properties"][name]
    if reference := node.get("$ref"):
        node = {**schema["definitions"][reference.rpartition("/")[2]], **node}
    return node


def _variable(prefix: str, value: str) -> str:
    return prefix + re.sub(r"(?<=[a-z])(?=[A-Z])", "_", value).upper()


def _values(chart: str) -> Mapping[str, str]:
    """Return the path of the value that a variable is set to, by variable."""
    found = {
        variable: value[1]
        for variable, text in _lines(chart).items()
        if (value := re.fullmatch(r" *\{\{ \.Values\.([\w.]+)(?: \| quote)? \}\}", text))
    }
    template = (CHARTS / chart / "templates" / "configmap.yaml").read_text()
    if chart == "volary-agent":
        names = re.findall(r'"(\w+)"', re.findall(r"range list (.*?) }}", template)[0])
        return found | {_variable(agent.PREFIX, name): f"tasks.{name}" for name in names}
    assert "VOLARY_LINK_{{ $name | snakecase | upper }}" in template
    assert "VOLARY_{{ $name | snakecase | upper }}" in template
    for path, prefix in (("link", "VOLARY_LINK_"), ("retention", "VOLARY_")):
        names = list(_node(chart, path)["properties"])
        found |= {_variable(prefix, name): f"{path}.{name}" for name in names}
    return found


@pytest.mark.parametrize("chart", SETTINGS)
def test_chart_sets_only_variables_that_its_program_reads(chart: str) -> None:
    variables = {*_lines(chart), *_values(chart)}
    assert len(variables) > 15
    assert variables - _declared(chart).keys() == set()


@pytest.mark.parametrize("chart", SETTINGS)
def test_chart_accepts_only_values_that_its_program_accepts(chart: str) -> None:
    declared = _declared(chart)
    numbers = 0
    for variable, path in _values(chart).items():
        node, kind = _node(chart, path), declared[variable].kind
        for choice in node.get("enum", ()):
            kind.parse(choice)
        if {"integer", "number"} & {*node.get("type", ())} or node.get("type") == "integer":
            numbers += 1
            for bound in ("minimum", "maximum"):
                assert bound in node, f"{path} has no {bound}"
                kind.parse(str(node[bound]))
    assert numbers >= 7
