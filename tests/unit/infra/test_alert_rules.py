"""Alerts, dashboards and runbooks agree with the metrics that the programs have."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from controlplane import settings as controlplane
from dataplane.agent import settings as agent
from scripts import alert_rules, dashboards
from scripts.grafana import render
from scripts.metrics import Declared, agent_metrics, controlplane_metrics
from shared.kit.settings import groups_of

ROOT = Path(__file__).parents[3]
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text()

_NAME = re.compile(r'\bvolary_[a-z_]+\b(?!")')
_SELECTED = re.compile(r"\b(volary_[a-z_]+)\{([^}]*)\}")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")
_OF_PROMETHEUS = {"job", "instance", "le", "severity", "window"}


def known() -> Mapping[str, Declared]:
    """Map the name of every series that a query may use to its metric."""
    found = {}
    for metric in [*controlplane_metrics(), *agent_metrics()]:
        series = {
            "histogram": ("_bucket", "_sum", "_count"),
            "summary": ("_sum", "_count"),
        }.get(metric.kind, ("",))
        found.update({f"{metric.name}{suffix}": metric for suffix in series})
    return found


def queries() -> Iterator[tuple[str, str]]:
    for objective in alert_rules.OBJECTIVES:
        yield objective.alert, objective.bad
        yield objective.alert, objective.all
    for alert in alert_rules.ALERTS:
        yield alert.name, alert.expression
    yield from dashboards.expressions()
    section = ""
    for line in RUNBOOKS.splitlines():
        section = line.removeprefix("### ") if line.startswith("### ") else section
        for query in re.findall(r"`([^`]*volary_[^`]*)`", line):
            if "…" not in query:
                yield f"runbook of {section}", query


def faults_of(query: str, metrics: Mapping[str, Declared]) -> Iterator[str]:
    names = _NAME.findall(query)
    yield from (f"no metric {name}" for name in names if name not in metrics)
    labels = {label for name in names if name in metrics for label in metrics[name].labels}
    used = {
        label
        for _, matchers in _SELECTED.findall(query)
        for label in re.findall(r"([a-z_]+)(?:=~|=|!=|!~)", matchers)
    }
    used |= {label.strip() for group in _GROUPED.findall(query) for label in group.split(",")}
    if names:
        yield from (f"no label {label}" for label in used - labels - _OF_PROMETHEUS)


def test_alerts_dashboards_and_runbooks_name_metrics_and_labels_that_exist() -> None:
    metrics = known()
    found = [
        f"{where}: {fault}: {query}"
        for where, query in queries()
        for fault in faults_of(query, metrics)
    ]
    assert found == []


def test_query_with_an_unknown_metric_or_label_is_found() -> None:
    metrics = known()
    assert [*faults_of("max by (runs) (volary_api_streams)", metrics)] == ["no label runs"]
    assert [*faults_of('volary_api_streams{user="x"}', metrics)] == ["no label user"]
    assert [*faults_of("rate(volary_link_opened_total[5m])", metrics)] == [
        "no metric volary_link_opened_total"
    ]


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    sections = re.findall(r"^### (Volary\w+)$", RUNBOOKS, re.MULTILINE)
    assert sections == list(alert_rules.alert_names())


@pytest.mark.parametrize("name", alert_rules.alert_names())
def test_runbook_says_what_an_alert_means_what_to_look_at_and_what_to_do(name: str) -> None:
    section = re.split(r"^##", RUNBOOKS.partition(f"### {name}\n")[2], flags=re.MULTILINE)[0]
    for part in ("*What it means.*", "*Look.*", "*Do.*"):
        assert part in section, part


def test_runbooks_name_log_lines_and_settings_that_exist() -> None:
    source = "".join(
        path.read_text()
        for room in ("controlplane", "dataplane", "shared")
        for path in (ROOT / room).rglob("*.py")
    )
    lines = re.findall(r"log\s+lines?\s+`([^`]+)`(?:\s+and\s+`([^`]+)`)?", RUNBOOKS)
    named = [name for pair in lines for name in pair if name]
    assert len(named) > 8
    assert [name for name in named if f'"{name}' not in source] == []
    declared = {
        setting.variable
        for settings in (controlplane.Settings, agent.Settings)
        for group in groups_of(settings)
        for setting in group.settings
    }
    assert set(re.findall(r"\bVOLARY_[A-Z_]+\b", RUNBOOKS)) <= declared


def test_links_within_runbooks_lead_to_sections() -> None:
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", RUNBOOKS, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", RUNBOOKS)) <= anchors


def test_rules_and_dashboards_of_the_charts_are_generated() -> None:
    assert alert_rules.FILES["controlplane"].read_text() == alert_rules.controlplane_rules()
    assert alert_rules.FILES["agent"].read_text() == alert_rules.agent_rules()
    for dashboard in dashboards.DASHBOARDS:
        assert dashboard.path.read_text() == render(dashboard), "run make docs"


_NOT_SHOWN = {"volary_agent_build_info", "volary_http_requests_in_flight"}
_BY_PATTERN = ("volary_link_certificate", "volary_tls_certificate")  # an alert matches these


def test_every_metric_of_a_program_is_in_a_dashboard_or_an_alert() -> None:
    metrics = known()
    shown = {metrics[name].name for _, query in queries() for name in _NAME.findall(query)}
    hidden = {metric.name for metric in metrics.values()} - shown - _NOT_SHOWN
    assert sorted(name for name in hidden if not name.startswith(_BY_PATTERN)) == [], (
        "add a panel to scripts/dashboards.py"
    )
