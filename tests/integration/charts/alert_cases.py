"""For each alert: series that make it fire, in promtool's notation, by the name of the alert."""

from collections.abc import Mapping
from dataclasses import dataclass, field

_MINUTES = 240
Series = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """Series that Prometheus has scraped once a minute for four hours; then the alert fires."""

    series: Series
    labels: Mapping[str, str] = field(
        default_factory=dict
    )  # of the alert, besides job and severity
    severity: str = "ticket"


def steady(value: float) -> str:
    return f"{value}x{_MINUTES}"


def rising(by: float) -> str:
    return f"0+{by}x{_MINUTES}"


UP = {'volary_build_info{job="volary",version="1"}': steady(1)}
"""A replica is scraped, so that VolaryNoReplica does not fire as well."""


def _of(name: str, labels: str, values: str) -> dict[str, str]:
    separator = "," if labels else ""
    return {f'{name}{{job="volary"{separator}{labels}}}': values}


def _slow(metric: str, bound: str, labels: str = "") -> dict[str, str]:
    """Return a histogram of which half is above the bound."""
    separator = "," if labels else ""
    return {
        **_of(f"{metric}_count", labels, rising(60)),
        **_of(f"{metric}_bucket", f'{labels}{separator}le="{bound}"', rising(30)),
    }


CASES: Mapping[str, Case] = {
    "VolaryApiErrorBudgetBurn": Case(
        {
            **_of("volary_api_calls_total", 'rpc="A",code="ok"', rising(600)),
            **_of("volary_api_calls_total", 'rpc="A",code="unavailable"', rising(30)),
        },
    ),
    "VolaryApiLatencyBudgetBurn": Case(_slow("volary_api_call_seconds", "1.0")),
    "VolaryTriggerLagBudgetBurn": Case(_slow("volary_trigger_lag_seconds", "30.0")),
    "VolaryReportLatencyBudgetBurn": Case(
        _slow("volary_link_operation_seconds", "1.0", 'operation="commit"')
    ),
    "VolaryNoReplica": Case({}, severity="page"),
    "VolaryClusterSilent": Case(
        _of("volary_load_clusters", 'state="silent"', steady(2)), severity="page"
    ),
    "VolaryLeasesNotAccepted": Case(
        _of("volary_load_oldest_lease_seconds", 'of="unaccepted"', steady(90)), severity="page"
    ),
    "VolaryWorkWaits": Case(
        _of("volary_load_pool_oldest_waiting_seconds", 'org="acme",pool="gpus"', rising(60)),
        {"org": "acme", "pool": "gpus"},
    ),
    "VolaryLoadNotRead": Case(_of("volary_load_read_timestamp_seconds", "", steady(100))),
    "VolaryLoopFails": Case(
        _of("volary_loop_failures_total", 'loop="triggers"', rising(2)), {"loop": "triggers"}
    ),
    "VolaryLoopStalled": Case(
        {
            **_of("volary_loop_last_success_timestamp_seconds", 'loop="timeouts"', steady(60)),
            **_of("volary_loop_interval_seconds", 'loop="timeouts"', steady(1)),
        },
        {"loop": "timeouts"},
        "page",
    ),
    "VolaryFeedFails": Case(_of("volary_feed_failures_total", 'what="changes"', rising(2))),
    "VolaryDatabaseUnavailable": Case(
        _of("volary_db_errors_total", 'pool="api",kind="unavailable"', rising(60)), severity="page"
    ),
    "VolaryDatabasePoolExhausted": Case(
        {
            **_of("volary_db_connections", 'pool="api",state="used"', steady(10)),
            **_of("volary_db_connections", 'pool="api",state="most"', steady(10)),
        },
        {"pool": "api"},
    ),
    "VolaryDatabaseLocked": Case(
        _of("volary_load_lock_wait_seconds", "", steady(30)), severity="page"
    ),
    "VolaryReplicaSaturated": Case(
        {
            **_of("volary_event_loop_lag_seconds_bucket", 'instance="a",le="0.25"', rising(60)),
            **_of("volary_event_loop_lag_seconds_bucket", 'instance="a",le="0.5"', rising(120)),
            **_of("volary_event_loop_lag_seconds_bucket", 'instance="a",le="+Inf"', rising(120)),
        },
        {"instance": "a"},
    ),
    "VolaryAgentsReconnect": Case(
        {
            **_of("volary_link_sessions_opened_total", "", rising(10)),
            **_of("volary_link_sessions", 'release="same"', steady(3)),
        }
    ),
    "VolaryNotificationsFail": Case(
        _of("volary_notifications_total", 'channel="webhook",result="failed"', rising(1)),
        {"channel": "webhook"},
    ),
    "VolaryNotificationsLate": Case(
        _of("volary_load_notification_overdue_seconds", "", steady(600))
    ),
    "VolaryCacheUnchecked": Case(
        {
            **_of("volary_cache_lookups_total", 'result="hit"', rising(60)),
            **_of("volary_cache_lookups_total", 'result="unchecked"', rising(60)),
        }
    ),
    "VolaryCertificateExpires": Case(
        _of("volary_tls_certificate_expiry_timestamp_seconds", "", steady(86_400))
    ),
    "VolaryCertificateNotReloaded": Case(
        _of("volary_link_certificate_failed_reloads_total", "", rising(1))
    ),
    "VolaryAgentCutOff": Case(
        _of("volary_agent_heartbeat_timestamp_seconds", "", steady(60)), severity="page"
    ),
    "VolaryAgentWithoutLeader": Case(
        _of("volary_agent_leads", 'instance="a"', steady(0)), severity="page"
    ),
    "VolaryAgentOutboxGrows": Case(_of("volary_agent_outbox_reports", "", steady(5_000))),
    "VolaryAgentClockWrong": Case(_of("volary_agent_clock_skew_seconds", "", steady(-3_600))),
    "VolaryAgentApiServerFails": Case(
        {
            **_of("volary_agent_kube_requests_total", 'verb="get",code="200"', rising(600)),
            **_of("volary_agent_kube_requests_total", 'verb="get",code="503"', rising(60)),
        }
    ),
    "VolaryAgentWatchBreaks": Case(
        _of("volary_agent_informer_failures_total", 'resource="pods"', rising(2)),
        {"resource": "pods"},
    ),
    "VolaryAgentProxyFails": Case(
        _of("volary_agent_proxy_refusals_total", 'rpc="A",code="unavailable"', rising(30)),
        severity="page",
    ),
}

HEALTHY: Series = {
    **UP,
    **_of("volary_api_calls_total", 'rpc="A",code="ok"', rising(60_000)),
    **_of("volary_api_calls_total", 'rpc="A",code="unavailable"', rising(1)),
    **_of("volary_api_calls_total", 'rpc="A",code="not_found"', rising(6_000)),
    **_of("volary_api_call_seconds_count", "", rising(600)),
    **_of("volary_api_call_seconds_bucket", 'le="1.0"', rising(599)),
    **_of("volary_trigger_lag_seconds_count", "", rising(60)),
    **_of("volary_trigger_lag_seconds_bucket", 'le="30.0"', rising(60)),
    **_of("volary_link_operation_seconds_count", 'operation="commit"', rising(600)),
    **_of("volary_link_operation_seconds_bucket", 'operation="commit",le="1.0"', rising(599)),
    **_of("volary_load_clusters", 'state="silent"', steady(0)),
    **_of("volary_load_clusters", 'state="connected"', steady(3)),
    **_of("volary_load_oldest_lease_seconds", 'of="unaccepted"', steady(1)),
    **_of("volary_load_oldest_lease_seconds", 'of="all"', rising(60)),
    **_of("volary_load_pool_oldest_waiting_seconds", 'org="acme",pool=""', steady(600)),
    **_of("volary_load_read_timestamp_seconds", "", rising(60)),
    **_of("volary_loop_failures_total", 'loop="triggers"', steady(3)),
    **_of("volary_loop_last_success_timestamp_seconds", 'loop="triggers"', rising(60)),
    **_of("volary_loop_interval_seconds", 'loop="triggers"', steady(1)),
    **_of("volary_feed_failures_total", 'what="changes"', steady(1)),
    **_of("volary_db_errors_total", 'pool="api",kind="unavailable"', steady(10)),
    **_of("volary_db_errors_total", 'pool="api",kind="lock_timeout"', rising(60)),
    **_of("volary_db_connections", 'pool="api",state="used"', steady(5)),
    **_of("volary_db_connections", 'pool="api",state="most"', steady(10)),
    **_of("volary_load_lock_wait_seconds", "", steady(1)),
    **_of("volary_event_loop_lag_seconds_bucket", 'instance="a",le="0.01"', rising(120)),
    **_of("volary_event_loop_lag_seconds_bucket", 'instance="a",le="+Inf"', rising(120)),
    **_of("volary_link_sessions_opened_total", "", rising(0.1)),
    **_of("volary_link_sessions", 'release="same"', steady(3)),
    **_of("volary_notifications_total", 'channel="webhook",result="delivered"', rising(60)),
    **_of("volary_notifications_total", 'channel="webhook",result="retried"', rising(60)),
    **_of("volary_load_notification_overdue_seconds", "", steady(10)),
    **_of("volary_cache_lookups_total", 'result="hit"', rising(60)),
    **_of("volary_cache_lookups_total", 'result="unchecked"', rising(1)),
    **_of("volary_tls_certificate_expiry_timestamp_seconds", "", steady(10_000_000)),
    **_of("volary_tls_certificate_failed_reloads_total", "", steady(1)),
    **_of("volary_agent_heartbeat_timestamp_seconds", "", rising(60)),
    **_of("volary_agent_leads", 'instance="a"', steady(0)),
    **_of("volary_agent_leads", 'instance="b"', steady(1)),
    **_of("volary_agent_outbox_reports", "", steady(100)),
    **_of("volary_agent_clock_skew_seconds", "", steady(0.2)),
    **_of("volary_agent_kube_requests_total", 'verb="get",code="200"', rising(600)),
    **_of("volary_agent_kube_requests_total", 'verb="get",code="503"', rising(1)),
    **_of("volary_agent_kube_requests_total", 'verb="get",code="404"', rising(600)),
    **_of("volary_agent_informer_failures_total", 'resource="pods"', rising(0.1)),
    **_of("volary_agent_proxy_refusals_total", 'rpc="A",code="permission_denied"', rising(60)),
}
