"""Grafana dashboards: rows of panels with their queries, and their JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_COLUMNS = 24
_HEIGHT = 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    unit: str  # Grafana's: s, short, reqps, percentunit, bytes
    queries: Sequence[tuple[str, str]]  # expression, legend


@dataclass(frozen=True, slots=True)
class Dashboard:
    uid: str
    title: str
    path: Path
    jobs: str  # the metric whose jobs can be chosen from
    rows: Mapping[str, Sequence[Panel]]


JOB = 'job=~"$job"'


def rate(metric: str, by: str, labels: str = "") -> str:
    chosen = f"{JOB},{labels}" if labels else JOB
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({metric}{{{chosen}}}[$__rate_interval]))"


def quantile(metric: str, of: float, by: str = "", labels: str = "") -> str:
    groups = f"le, {by}" if by else "le"
    return f"histogram_quantile({of}, {rate(f'{metric}_bucket', groups, labels)})"


def quantiles(title: str, metric: str, by: str = "", labels: str = "") -> Panel:
    legend = f"{{{{{by}}}}} " if by else ""
    return Panel(
        title,
        "s",
        [
            (quantile(metric, each, by, labels), f"{legend}p{int(each * 100)}")
            for each in ((0.5, 0.99) if not by else (0.99,))
        ],
    )


def highest(metric: str, by: str = "", labels: str = "") -> str:
    """Each replica reads the same load: the highest of them is the latest."""
    chosen = f"{JOB},{labels}" if labels else JOB
    return f"max by ({by}) ({metric}{{{chosen}}})" if by else f"max({metric}{{{chosen}}})"


def render(dashboard: Dashboard) -> str:
    """Render a dashboard as Grafana's JSON."""
    return json.dumps(
        {
            "uid": dashboard.uid,
            "title": dashboard.title,
            "tags": ["volary"],
            "schemaVersion": 39,
            "editable": False,
            "refresh": "1m",
            "time": {"from": "now-6h", "to": "now"},
            "templating": {"list": list(_variables(dashboard))},
            "panels": list(_panels(dashboard)),
        },
        indent=1,
    ) + "\n"  # fmt: skip


def _variables(dashboard: Dashboard) -> Iterator[Mapping[str, Any]]:
    yield {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    yield {
        "name": "job",
        "type": "query",
        "datasource": _SOURCE,
        "query": f"label_values({dashboard.jobs}, job)",
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "refresh": 2,
        "current": {"text": "All", "value": "$__all"},
    }


def _panels(dashboard: Dashboard) -> Iterator[Mapping[str, Any]]:
    number, top = 0, 0
    for title, panels in dashboard.rows.items():
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        }
        top += 1
        width = _COLUMNS // (3 if len(panels) % 3 == 0 else 2)
        for at, panel in enumerate(panels):
            number += 1
            across = _COLUMNS // width
            position = {
                "x": at % across * width,
                "y": top + at // across * _HEIGHT,
                "w": width,
                "h": _HEIGHT,
            }
            yield _panel(panel, number, position)
        top += -(-len(panels) // (_COLUMNS // width)) * _HEIGHT


def _panel(panel: Panel, number: int, position: Mapping[str, int]) -> Mapping[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": position,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": None if panel.title == "Clock" else 0,
                "custom": {"fillOpacity": 10, "showPoints": "never"},
            },
            "overrides": [],
        },
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend,
            }
            for at, (expression, legend) in enumerate(panel.queries)
        ],
    }
