"""The charts' files agree with each other, without helm."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

CHARTS = Path(__file__).parents[3] / "infra" / "helm"
NAMES = ("volary-agent", "volary-controlplane")


def _schema(chart: str) -> dict[str, Any]:
    return dict(json.loads((CHARTS / chart / "values.schema.json").read_text()))


def _values(chart: str) -> dict[str, Any]:
    return dict(yaml.safe_load((CHARTS / chart / "values.yaml").read_text()))


def _properties(schema: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, described in schema.get("properties", {}).items():
        path = f"{above}.{name}" if above else name
        yield path, described
        yield from _properties(described, path)


def _paths(values: Mapping[str, Any], known: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Give the paths of values down to where the schema stops describing."""
    for name, value in values.items():
        path = f"{above}.{name}" if above else name
        yield path
        if isinstance(value, Mapping) and "properties" in known.get(path, {}):
            yield from _paths(value, known, path)


@pytest.mark.parametrize("chart", NAMES)
def test_chart_values_are_described(chart: str) -> None:
    for path, described in _properties(_schema(chart)):
        assert described.get("description", "").endswith("."), path


@pytest.mark.parametrize("chart", NAMES)
def test_chart_values_match_their_defaults(chart: str) -> None:
    known = dict(_properties(_schema(chart)))
    assert set(_paths(_values(chart), known)) == set(known) - {"global"}


@pytest.mark.parametrize("chart", NAMES)
def test_chart_value_groups_accept_no_unknown_fields(chart: str) -> None:
    for path, described in _properties(_schema(chart)):
        if "properties" in described:
            assert described["additionalProperties"] is False, path


def test_charts_and_package_are_of_one_release() -> None:
    project = (CHARTS.parents[1] / "pyproject.toml").read_text()
    for chart in NAMES:
        chart_yaml = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
        assert f'version = "{chart_yaml["appVersion"]}"' in project
