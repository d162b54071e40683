"""The charts' rules and dashboards, by promtool: each alert fires on its cause, and on no other."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import alert_rules, dashboards
from tests.integration.charts.alert_cases import CASES, HEALTHY, UP, Case
from tests.integration.charts.values import AGENT, CONTROL_PLANE, put
from tests.servers.helm import Helm
from tests.servers.prometheus import Promtool, promtool

__all__ = ["promtool"]

_AT = "3h55m"


def test_alert_cases_are_those_of_all_alerts() -> None:
    assert [*CASES] == [*alert_rules.alert_names()]


def test_each_alert_fires_on_its_cause_and_links_to_its_runbook(
    promtool: Promtool, tmp_path: Path
) -> None:
    tests = [_firing(name, case) for name, case in CASES.items()]
    promtool.run("test", "rules", _test_file(tmp_path, tests, every="5m"))


def test_no_alert_fires_while_all_is_well(promtool: Promtool, tmp_path: Path) -> None:
    silent = {
        "interval": "1m",
        "input_series": _series(HEALTHY),
        "alert_rule_test": [
            {"eval_time": at, "alertname": name} for name in CASES for at in ("30m", "2h", _AT)
        ],
    }
    promtool.run("test", "rules", _test_file(tmp_path, [silent]))


@pytest.mark.parametrize(
    ("bad", "fires"),
    [
        # Of 10,000 calls a minute; the budget is 10. Windows of days are short of data here.
        (200, {"1h", "6h", "1d", "3d"}),
        (100, {"6h", "1d", "3d"}),
        (40, {"1d", "3d"}),
        (15, {"3d"}),
        (5, set()),
    ],
)
def test_budget_alerts_fire_by_the_rate_at_which_the_budget_is_used_up(
    bad: int, fires: set[str], promtool: Promtool, tmp_path: Path
) -> None:
    name, minutes = "VolaryApiErrorBudgetBurn", 420
    series = {
        **UP,
        'volary_api_calls_total{job="volary",code="ok"}': f"0+{10_000 - bad}x{minutes}",
        'volary_api_calls_total{job="volary",code="internal"}': f"0+{bad}x{minutes}",
    }
    expected = [
        _budget_alert(name, window) for window in ("1h", "6h", "1d", "3d") if window in fires
    ]
    test = {
        "interval": "1m",
        "input_series": _series(series),
        "alert_rule_test": [{"eval_time": "7h", "alertname": name, "exp_alerts": expected}],
    }
    promtool.run("test", "rules", _test_file(tmp_path, [test]))


def test_budget_alert_ends_soon_after_its_cause(promtool: Promtool, tmp_path: Path) -> None:
    series = {
        **UP,
        'volary_api_calls_total{job="volary",code="ok"}': "0+500x300",
        'volary_api_calls_total{job="volary",code="internal"}': "0+500x120 60000x180",
    }
    query = 'ALERTS{alertname="VolaryApiErrorBudgetBurn",window="1h",alertstate="firing"}'
    test = {
        "interval": "1m",
        "input_series": _series(series),
        "promql_expr_test": [
            {
                "expr": f"count({query})",
                "eval_time": "2h",
                "exp_samples": [{"labels": "{}", "value": 1}],
            },
            {"expr": f"count({query})", "eval_time": "2h7m", "exp_samples": []},
        ],
    }
    promtool.run("test", "rules", _test_file(tmp_path, [test]))


def test_queries_of_dashboards_are_valid(promtool: Promtool, tmp_path: Path) -> None:
    rules = [
        {"record": f"checked:query{number}", "expr": expression}
        for number, (_, expression) in enumerate(dashboards.expressions())
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool.run("check", "rules", file)


@pytest.mark.parametrize(
    ("chart", "values"),
    [("volary-controlplane", CONTROL_PLANE), ("volary-agent", AGENT)],
    ids=["controlplane", "agent"],
)
def test_chart_creates_rules_that_link_to_the_given_runbooks_and_dashboards(
    chart: str, values: Mapping[str, Any], helm: Helm, promtool: Promtool, tmp_path: Path
) -> None:
    url = "https://wiki.example.com/volary/runbooks?a=b"
    given = put(
        values,
        metrics__rules={"enabled": True, "labels": {"release": "mine"}, "runbooks": url},
        metrics__dashboards={"enabled": True},
    )
    made = helm.template(chart, given)
    [rule] = [each for each in made if each["kind"] == "PrometheusRule"]
    assert rule["metadata"]["labels"]["release"] == "mine"
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rule["spec"]))
    assert "SUCCESS" in promtool.run("check", "rules", file)
    links = [
        each["annotations"]["runbook_url"]
        for group in rule["spec"]["groups"]
        for each in group["rules"]
        if "alert" in each
    ]
    assert links
    assert all(link.startswith(f"{url}#volary") for link in links)
    [boards] = [each for each in made if each["metadata"]["name"].endswith("-dashboards")]
    assert boards["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert all(yaml.safe_load(text)["panels"] for text in boards["data"].values())


@pytest.mark.parametrize(
    ("chart", "values"),
    [("volary-controlplane", CONTROL_PLANE), ("volary-agent", AGENT)],
    ids=["controlplane", "agent"],
)
def test_chart_creates_no_rules_unless_told(
    chart: str, values: Mapping[str, Any], helm: Helm
) -> None:
    made = helm.template(chart, values)
    assert "PrometheusRule" not in {each["kind"] for each in made}
    assert not [each for each in made if each["metadata"]["name"].endswith("-dashboards")]


def _rules() -> Iterator[Mapping[str, Any]]:
    for file in alert_rules.FILES.values():
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


def _firing(name: str, case: Case) -> Mapping[str, Any]:
    """Expect that the alert, and no other, fires on its case."""
    series = case.series if name == "VolaryNoReplica" else {**UP, **case.series}
    others = [other for other in CASES if other != name]
    return {
        "name": name,
        "interval": "1m",
        "input_series": _series(series),
        "alert_rule_test": [{"eval_time": _AT, "alertname": other} for other in others],
        "promql_expr_test": [
            {
                "expr": f'count by (alertname) (ALERTS{{alertname="{name}",alertstate="firing",'
                f'severity="{case.severity}"{_matchers(case.labels)}}}) > 0',
                "eval_time": _AT,
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": _count(name, case)}],
            }
        ],
    }


def _count(name: str, case: Case) -> int:
    """How many rules of this name and severity there are: those of budgets are two."""
    return sum(
        rule.get("alert") == name and rule["labels"]["severity"] == case.severity
        for rule in _rules()
    )


def _matchers(labels: Mapping[str, str]) -> str:
    return "".join(f',{label}="{value}"' for label, value in labels.items())


def _budget_alert(name: str, window: str) -> Mapping[str, Any]:
    [rule] = [
        rule
        for rule in _rules()
        if rule.get("alert") == name and rule["labels"].get("window") == window
    ]
    return {
        "exp_labels": {**rule["labels"], "job": "volary"},
        "exp_annotations": dict(rule["annotations"]),
    }


def _series(series: Mapping[str, str]) -> Sequence[Mapping[str, str]]:
    return [{"series": name, "values": values} for name, values in series.items()]


def _test_file(home: Path, tests: Sequence[Mapping[str, Any]], *, every: str = "1m") -> Path:
    file = home / "tests.yaml"
    file.write_text(
        yaml.safe_dump({
            "rule_files": [str(each) for each in alert_rules.FILES.values()],
            "evaluation_interval": every,
            "tests": [*tests],
        })
    )  # fmt: skip
    return file
