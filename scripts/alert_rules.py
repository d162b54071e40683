"""
Renders the Prometheus rules of both charts: service levels, their error budgets, and alerts.

The charts put ``files/rules.yaml`` into a PrometheusRule as it is, but for ``${RUNBOOKS}``, the
address of docs/runbooks.md. Alerts by error budget are those of the SRE workbook: each compares a
long window with the budget, and a short one, so that it ends soon after its cause has ended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHARTS = Path(__file__).parent.parent / "infra" / "helm"
FILES = {
    "controlplane": CHARTS / "volary-controlplane" / "files" / "rules.yaml",
    "agent": CHARTS / "volary-agent" / "files" / "rules.yaml",
}

_HEAD = "# Written by `make docs` from scripts/alert_rules.py; edit that.\n"

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A service level: at most ``1 - target`` of all events are bad, over thirty days."""

    name: str  # of the recorded ratio
    alert: str
    target: float
    bad: str  # rate of bad events, with {window}
    all: str
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """At ``factor`` times the rate that uses the budget up in thirty days."""

    factor: float
    long: str
    short: str
    lasting: str
    severity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    name: str
    expression: str
    lasting: str  # the condition holds for so long
    severity: str  # page: at once; ticket: in working hours
    summary: str
    window: str = ""  # of a budget: tells the alerts of one objective apart


BURNS = (
    Burn(factor=14.4, long="1h", short="5m", lasting="2m", severity="page"),
    Burn(factor=6, long="6h", short="30m", lasting="15m", severity="page"),
    Burn(factor=3, long="1d", short="2h", lasting="1h", severity="ticket"),
    Burn(factor=1, long="3d", short="6h", lasting="3h", severity="ticket"),
)

OBJECTIVES = (
    Objective(
        name="volary:api_errors:ratio",
        alert="VolaryApiErrorBudgetBurn",
        target=0.999,
        bad='sum by (job) (rate(volary_api_calls_total{code=~"'
        'internal|unavailable|unknown|data_loss|deadline_exceeded"}[{window}]))',
        all="sum by (job) (rate(volary_api_calls_total[{window}]))",
        summary="Too many calls of the API fail: the month's budget of 0.1 % is used up too fast.",
    ),
    Objective(
        name="volary:api_slow_calls:ratio",
        alert="VolaryApiLatencyBudgetBurn",
        target=0.99,
        bad="sum by (job) (rate(volary_api_call_seconds_count[{window}]))"
        ' - sum by (job) (rate(volary_api_call_seconds_bucket{le="1.0"}[{window}]))',
        all="sum by (job) (rate(volary_api_call_seconds_count[{window}]))",
        summary="Too many unary calls take longer than a second: the month's budget is 1 %.",
    ),
    Objective(
        name="volary:late_triggers:ratio",
        alert="VolaryTriggerLagBudgetBurn",
        target=0.99,
        bad="sum by (job) (rate(volary_trigger_lag_seconds_count[{window}]))"
        ' - sum by (job) (rate(volary_trigger_lag_seconds_bucket{le="30.0"}[{window}]))',
        all="sum by (job) (rate(volary_trigger_lag_seconds_count[{window}]))",
        summary="Too many scheduled runs start 30 s late or later: the month's budget is 1 %.",
    ),
    Objective(
        name="volary:slow_report_commits:ratio",
        alert="VolaryReportLatencyBudgetBurn",
        target=0.99,
        bad="sum by (job) (rate(volary_link_operation_seconds_count"
        '{operation="commit"}[{window}])) - sum by (job) (rate('
        'volary_link_operation_seconds_bucket{operation="commit",le="1.0"}[{window}]))',
        all='sum by (job) (rate(volary_link_operation_seconds_count{operation="commit"}'
        "[{window}]))",
        summary="Too many commits of agents' reports take longer than a second: the budget is 1 %.",
    ),
)

CONTROL_PLANE_ALERTS = (
    Alert(
        name="VolaryNoReplica",
        expression="absent(volary_build_info)",
        lasting="5m",
        severity="page",
        summary="Prometheus scrapes no replica of the control plane.",
    ),
    Alert(
        name="VolaryClusterSilent",
        expression='max by (job) (volary_load_clusters{state="silent"}) > 0',
        lasting="5m",
        severity="page",
        summary="{{ $value }} clusters with leased actions have no agent connected.",
    ),
    Alert(
        name="VolaryLeasesNotAccepted",
        expression='max by (job) (volary_load_oldest_lease_seconds{of="unaccepted"}) > 60',
        lasting="5m",
        severity="page",
        summary="A lease has not been accepted for {{ $value }} s; agents accept within a second.",
    ),
    Alert(
        name="VolaryWorkWaits",
        expression="max by (job, org, pool) (volary_load_pool_oldest_waiting_seconds) > 1800",
        lasting="15m",
        severity="ticket",
        summary="An action of org {{ $labels.org }} has waited {{ $value }} s for pool"
        " '{{ $labels.pool }}'.",
    ),
    Alert(
        name="VolaryLoadNotRead",
        expression="time() - max by (job) (volary_load_read_timestamp_seconds) > 120",
        lasting="5m",
        severity="ticket",
        summary="No replica has read the load of the orgs for {{ $value }} s; alerts on it are blind.",
    ),
    Alert(
        name="VolaryLoopFails",
        expression="sum by (job, loop) (increase(volary_loop_failures_total[10m])) > 5",
        lasting="5m",
        severity="ticket",
        summary="Loop '{{ $labels.loop }}' failed {{ $value }} times in ten minutes.",
    ),
    Alert(
        name="VolaryLoopStalled",
        expression="time() - max by (job, loop) (volary_loop_last_success_timestamp_seconds)"
        " > 300 + 3 * max by (job, loop) (volary_loop_interval_seconds)",
        lasting="5m",
        severity="page",
        summary="Loop '{{ $labels.loop }}' has not succeeded on any replica for {{ $value }} s.",
    ),
    Alert(
        name="VolaryFeedFails",
        expression="sum by (job) (increase(volary_feed_failures_total[10m])) > 5",
        lasting="5m",
        severity="ticket",
        summary="Changes of runs reach watchers late: {{ $value }} reads failed in ten minutes.",
    ),
    Alert(
        name="VolaryDatabaseUnavailable",
        expression='sum by (job) (rate(volary_db_errors_total{kind="unavailable"}[5m])) > 0.1',
        lasting="2m",
        severity="page",
        summary="{{ $value }} transactions a second end because Postgres does not answer.",
    ),
    Alert(
        name="VolaryDatabasePoolExhausted",
        expression='sum by (job, pool) (rate(volary_db_errors_total{kind="pool_timeout"}[5m])) > 0'
        ' or avg by (job, pool) (volary_db_connections{pool=~"api|link|loops",state="used"})'
        ' / avg by (job, pool) (volary_db_connections{pool=~"api|link|loops",state="most"}) > 0.9',
        lasting="5m",
        severity="ticket",
        summary="Transactions wait for connections of pool '{{ $labels.pool }}'.",
    ),
    Alert(
        name="VolaryDatabaseLocked",
        expression="max by (job) (volary_load_lock_wait_seconds) > 10",
        lasting="2m",
        severity="page",
        summary="A transaction has waited {{ $value }} s for a lock in Postgres.",
    ),
    Alert(
        name="VolaryReplicaSaturated",
        expression="histogram_quantile(0.9, sum by (job, instance, le)"
        " (rate(volary_event_loop_lag_seconds_bucket[5m]))) > 0.25",
        lasting="10m",
        severity="ticket",
        summary="The event loop of {{ $labels.instance }} runs {{ $value }} s behind.",
    ),
    Alert(
        name="VolaryAgentsReconnect",
        expression="sum by (job) (increase(volary_link_sessions_opened_total[15m]))"
        " > 10 + 3 * sum by (job) (volary_link_sessions)",
        lasting="15m",
        severity="ticket",
        summary="Agents opened {{ $value }} sessions in fifteen minutes; they keep theirs for days.",
    ),
    Alert(
        name="VolaryNotificationsFail",
        expression="sum by (job, channel)"
        ' (increase(volary_notifications_total{result="failed"}[1h])) > 0',
        lasting="0m",
        severity="ticket",
        summary="{{ $value }} notifications by {{ $labels.channel }} were given up in an hour.",
    ),
    Alert(
        name="VolaryNotificationsLate",
        expression="max by (job) (volary_load_notification_overdue_seconds) > 300",
        lasting="10m",
        severity="ticket",
        summary="A notification that is due waits for {{ $value }} s.",
    ),
    Alert(
        name="VolaryCacheUnchecked",
        expression='sum by (job) (rate(volary_cache_lookups_total{result="unchecked"}[10m]))'
        " / sum by (job) (rate(volary_cache_lookups_total[10m])) > 0.1",
        lasting="10m",
        severity="ticket",
        summary="The object store does not answer for {{ $value | humanizePercentage }} of the"
        " cache's lookups.",
    ),
    Alert(
        name="VolaryCertificateExpires",
        expression="min by (job) ({__name__=~"
        '"volary_(link|tls)_certificate_expiry_timestamp_seconds"}) - time() < 7 * 86400',
        lasting="1h",
        severity="ticket",
        summary="A certificate of the control plane expires in {{ $value | humanizeDuration }}.",
    ),
    Alert(
        name="VolaryCertificateNotReloaded",
        expression="sum by (job) (increase({__name__=~"
        '"volary_(link|tls)_certificate_failed_reloads_total"}[1h])) > 0',
        lasting="0m",
        severity="ticket",
        summary="A new certificate cannot be used; the old one is still shown.",
    ),
)

AGENT_ALERTS = (
    Alert(
        name="VolaryAgentCutOff",
        expression="time() - max by (job) (volary_agent_heartbeat_timestamp_seconds) > 60",
        lasting="1m",
        severity="page",
        summary="The control plane has acknowledged no heartbeat for {{ $value }} s; replaceable"
        " tasks are stopped after 180 s.",
    ),
    Alert(
        name="VolaryAgentWithoutLeader",
        expression="max by (job) (volary_agent_leads) == 0",
        lasting="2m",
        severity="page",
        summary="No replica of the agent holds the Lease: no task starts, no report is sent.",
    ),
    Alert(
        name="VolaryAgentOutboxGrows",
        expression="max by (job) (volary_agent_outbox_reports) > 1000",
        lasting="10m",
        severity="ticket",
        summary="{{ $value }} reports wait for the control plane's acknowledgement.",
    ),
    Alert(
        name="VolaryAgentClockWrong",
        expression="max by (job) (abs(volary_agent_clock_skew_seconds)) > 5",
        lasting="5m",
        severity="ticket",
        summary="The agent's clock differs from the control plane's by {{ $value }} s.",
    ),
    Alert(
        name="VolaryAgentApiServerFails",
        expression="sum by (job)"
        ' (rate(volary_agent_kube_requests_total{code=~"0|429|5.."}[10m]))'
        " / sum by (job) (rate(volary_agent_kube_requests_total[10m])) > 0.05",
        lasting="10m",
        severity="ticket",
        summary="The API server fails {{ $value | humanizePercentage }} of the agent's requests.",
    ),
    Alert(
        name="VolaryAgentWatchBreaks",
        expression="sum by (job, resource) (increase(volary_agent_informer_failures_total[15m])) > 10",
        lasting="5m",
        severity="ticket",
        summary="Watches of {{ $labels.resource }} broke {{ $value }} times in fifteen minutes.",
    ),
    Alert(
        name="VolaryAgentProxyFails",
        expression="sum by (job)"
        ' (rate(volary_agent_proxy_refusals_total{code=~"unavailable|internal"}[10m])) > 0.1',
        lasting="5m",
        severity="page",
        summary="{{ $value }} calls of tasks a second are refused, because the control plane does"
        " not answer.",
    ),
)

ALERTS = (*CONTROL_PLANE_ALERTS, *AGENT_ALERTS)


def alert_names() -> Sequence[str]:
    """Return the names of all alerts, in the order of the runbooks."""
    return [*(each.alert for each in OBJECTIVES), *(each.name for each in ALERTS)]


def controlplane_rules() -> str:
    return _render([
        {"name": "volary-objectives", "interval": "30s", "rules": _recorded()},
        {"name": "volary-budgets", "rules": [_rule(burn) for each in OBJECTIVES for burn in _burns(each)]},
        {"name": "volary-controlplane", "rules": [_rule(each) for each in CONTROL_PLANE_ALERTS]},
    ])  # fmt: skip


def agent_rules() -> str:
    return _render([{"name": "volary-agent", "rules": [_rule(each) for each in AGENT_ALERTS]}])


def write() -> None:
    for name, text in (("controlplane", controlplane_rules()), ("agent", agent_rules())):
        FILES[name].parent.mkdir(exist_ok=True)
        FILES[name].write_text(text)


def _recorded() -> Sequence[Mapping[str, Any]]:
    return [
        {
            "record": f"{each.name}_rate{window}",
            "expr": f"({each.bad}) / ({each.all})".replace("{window}", window),
        }
        for each in OBJECTIVES
        for window in WINDOWS
    ]


def _burns(objective: Objective) -> Sequence[Alert]:
    budget = 1 - objective.target
    return [
        Alert(
            name=objective.alert,
            expression=" and ".join(
                f"{objective.name}_rate{window} > {burn.factor * budget:.6g}"
                for window in (burn.long, burn.short)
            ),
            lasting=burn.lasting,
            severity=burn.severity,
            summary=objective.summary,
            window=burn.long,
        )
        for burn in BURNS
    ]


def _rule(alert: Alert) -> Mapping[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasting,
        "labels": {
            "severity": alert.severity,
            **({"window": alert.window} if alert.window else {}),
        },
        "annotations": {
            "summary": alert.summary,
            "runbook_url": f"${{RUNBOOKS}}#{alert.name.lower()}",
        },
    }


def _render(groups: Sequence[Mapping[str, Any]]) -> str:
    text: str = yaml.safe_dump({"groups": list(groups)}, sort_keys=False, width=100)
    return _HEAD + text
