"""The Grafana dashboards of both charts; ``make docs`` writes them."""

from collections.abc import Iterator

from scripts.alert_rules import CHARTS, OBJECTIVES
from scripts.grafana import JOB, Dashboard, Panel, highest, quantile, quantiles, rate, render

SERVICE = Dashboard(
    "volary-service",
    "Volary / service",
    CHARTS / "volary-controlplane" / "files" / "dashboards" / "volary-service.json",
    "volary_build_info",
    {
        "Service levels": [
            Panel(
                "Burn rate of the budgets over an hour (1: used up in thirty days)",
                "short",
                [
                    (
                        f"{each.name}_rate1h{{{JOB}}} / {1 - each.target:.6g}",
                        each.name.split(":")[1].replace("_", " "),
                    )
                    for each in OBJECTIVES
                ],
            ),
            Panel(
                "Clusters",
                "short",
                [(highest("volary_load_clusters", "state"), "{{state}}")],
            ),
        ],
        "API": [
            Panel("Calls", "reqps", [(rate("volary_api_calls_total", "code"), "{{code}}")]),
            quantiles("Duration of unary calls", "volary_api_call_seconds"),
            Panel(
                "Slowest RPCs (p99)",
                "s",
                [(f"topk(5, {quantile('volary_api_call_seconds', 0.99, 'rpc')})", "{{rpc}}")],
            ),
            Panel(
                "Calls in flight, and streams",
                "short",
                [
                    (f"sum(volary_api_calls_in_flight{{{JOB}}})", "calls"),
                    (f"sum(volary_api_streams{{{JOB}}})", "streams"),
                ],
            ),
            Panel(
                "Other HTTP requests",
                "reqps",
                [(rate("volary_http_requests_total", "surface, code"), "{{surface}} {{code}}")],
            ),
            quantiles("Duration of other requests", "volary_http_request_seconds", "surface"),
        ],
        "Work": [
            Panel(
                "Waiting actions by pool",
                "short",
                [(highest("volary_load_pool_waiting_actions", "org, pool"), "{{org}} {{pool}}")],
            ),
            Panel(
                "Oldest waiting action by pool",
                "s",
                [
                    (
                        highest("volary_load_pool_oldest_waiting_seconds", "org, pool"),
                        "{{org}} {{pool}}",
                    )
                ],
            ),
            quantiles("Wait until leased", "volary_dispatch_wait_seconds"),
            Panel(
                "Leases",
                "short",
                [(highest("volary_load_leases", "state"), "{{state}}")],
            ),
            Panel(
                "Age of leases",
                "s",
                [(highest("volary_load_oldest_lease_seconds", "of"), "{{of}}")],
            ),
            Panel(
                "Leased actions by org (usage)",
                "short",
                [(highest("volary_load_org_actions", "org", 'state="leased"'), "{{org}}")],
            ),
        ],
        "Link": [
            Panel(
                "Sessions of agents, by release",
                "short",
                [(f"sum by (release) (volary_link_sessions{{{JOB}}})", "{{release}}")],
            ),
            Panel(
                "Ends of sessions",
                "reqps",
                [(rate("volary_link_sessions_ended_total", "reason"), "{{reason}}")],
            ),
            Panel(
                "Assignments and reports",
                "reqps",
                [
                    (rate("volary_link_assignments_total", ""), "assignments"),
                    (rate("volary_link_reports_total", "status"), "reports {{status}}"),
                ],
            ),
            quantiles("Claims and commits", "volary_link_operation_seconds", "operation"),
        ],
        "Triggers, notifications, cache, logins": [
            Panel(
                "Scheduled instants",
                "reqps",
                [(rate("volary_trigger_instants_total", "outcome"), "{{outcome}}")],
            ),
            quantiles("Lag of scheduled runs", "volary_trigger_lag_seconds"),
            Panel(
                "Firings of artifact triggers",
                "reqps",
                [(rate("volary_artifact_firings_total", "outcome"), "{{outcome}}")],
            ),
            quantiles("Lag of artifact triggers", "volary_artifact_firing_lag_seconds"),
            Panel(
                "Attempts added to usage",
                "reqps",
                [(rate("volary_usage_attempts_total", ""), "attempts")],
            ),
            Panel(
                "Requests above a quota",
                "reqps",
                [(rate("volary_quota_refused_requests_total", ""), "refused")],
            ),
            Panel(
                "Notifications",
                "reqps",
                [
                    (
                        rate("volary_notifications_total", "channel, result"),
                        "{{channel}} {{result}}",
                    )
                ],
            ),
            Panel(
                "Waiting notifications",
                "short",
                [(highest("volary_load_notifications", "state"), "{{state}}")],
            ),
            Panel(
                "Lookups in the cache",
                "reqps",
                [(rate("volary_cache_lookups_total", "result"), "{{result}}")],
            ),
            Panel(
                "Logins and tokens",
                "reqps",
                [
                    (rate("volary_browser_logins_total", "step, outcome"), "{{step}} {{outcome}}"),
                    (
                        rate("volary_oauth_requests_total", "endpoint, outcome"),
                        "{{endpoint}} {{outcome}}",
                    ),
                ],
            ),
        ],
    },
)

INTERNALS = Dashboard(
    "volary-internals",
    "Volary / replicas and Postgres",
    CHARTS / "volary-controlplane" / "files" / "dashboards" / "volary-internals.json",
    "volary_build_info",
    {
        "Replicas": [
            Panel(
                "Replicas by release",
                "short",
                [(f"count by (version) (volary_build_info{{{JOB}}})", "{{version}}")],
            ),
            Panel(
                "CPU", "short", [(rate("process_cpu_seconds_total", "instance"), "{{instance}}")]
            ),
            Panel(
                "Memory",
                "bytes",
                [(f"sum by (instance) (process_resident_memory_bytes{{{JOB}}})", "{{instance}}")],
            ),
            quantiles("Lag of the event loop", "volary_event_loop_lag_seconds", "instance"),
        ],
        "Postgres": [
            Panel(
                "Used connections of each pool",
                "percentunit",
                [
                    (
                        (
                            f'avg by (pool) (volary_db_connections{{{JOB},state="used"}})'
                            f' / avg by (pool) (volary_db_connections{{{JOB},state="most"}})'
                        ),
                        "{{pool}}",
                    )
                ],
            ),
            quantiles("Wait for a connection", "volary_db_connection_wait_seconds", "pool"),
            quantiles("Duration of transactions", "volary_db_transaction_seconds", "pool"),
            Panel(
                "Errors",
                "reqps",
                [(rate("volary_db_errors_total", "pool, kind"), "{{pool}} {{kind}}")],
            ),
            Panel(
                "Transactions that wait for a lock",
                "short",
                [(highest("volary_load_lock_waiters"), "transactions")],
            ),
            Panel(
                "Longest wait for a lock", "s", [(highest("volary_load_lock_wait_seconds"), "wait")]
            ),
        ],
        "Loops": [
            Panel("Failures", "reqps", [(rate("volary_loop_failures_total", "loop"), "{{loop}}")]),
            Panel(
                "Since the last success",
                "s",
                [
                    (
                        "time() - " + highest("volary_loop_last_success_timestamp_seconds", "loop"),
                        "{{loop}}",
                    )
                ],
            ),
            quantiles("Duration of passes", "volary_loop_pass_seconds", "loop"),
            Panel(
                "Failed reads of changes",
                "reqps",
                [(rate("volary_feed_failures_total", "what"), "{{what}}")],
            ),
            Panel("Spans", "reqps", [(rate("volary_trace_spans_total", "result"), "{{result}}")]),
        ],
    },
)

AGENT = Dashboard(
    "volary-agent",
    "Volary / agent",
    CHARTS / "volary-agent" / "files" / "dashboards" / "volary-agent.json",
    "volary_agent_build_info",
    {
        "Link": [
            Panel(
                "Since the last heartbeat",
                "s",
                [("time() - " + highest("volary_agent_heartbeat_timestamp_seconds"), "heartbeat")],
            ),
            Panel(
                "Attempts, and reports that wait",
                "short",
                [
                    (highest("volary_agent_attempts"), "attempts"),
                    (highest("volary_agent_outbox_reports"), "reports"),
                ],
            ),
            Panel(
                "Replicas that lead",
                "short",
                [(f"sum(volary_agent_leads{{{JOB}}})", "leaders")],
            ),
            Panel("Clock", "s", [(highest("volary_agent_clock_skew_seconds"), "ahead")]),
        ],
        "API server": [
            Panel(
                "Requests",
                "reqps",
                [(rate("volary_agent_kube_requests_total", "verb, code"), "{{verb}} {{code}}")],
            ),
            Panel(
                "Mean time until an answer",
                "s",
                [
                    (
                        (
                            f"{rate('volary_agent_kube_request_seconds_sum', 'verb')}"
                            f" / {rate('volary_agent_kube_request_seconds_count', 'verb')}"
                        ),
                        "{{verb}}",
                    )
                ],
            ),
            Panel(
                "Objects in memory",
                "short",
                [
                    (
                        f"sum by (resource) (volary_agent_informer_objects{{{JOB}}})",
                        "{{resource}}",
                    )
                ],
            ),
            Panel(
                "Broken watches",
                "reqps",
                [(rate("volary_agent_informer_failures_total", "resource"), "{{resource}}")],
            ),
        ],
        "API proxy for tasks": [
            Panel("Calls", "reqps", [(rate("volary_agent_proxy_calls_total", "rpc"), "{{rpc}}")]),
            Panel(
                "Refused calls",
                "reqps",
                [(rate("volary_agent_proxy_refusals_total", "rpc, code"), "{{rpc}} {{code}}")],
            ),
            Panel(
                "Mean duration of unary calls",
                "s",
                [
                    (
                        (
                            f"{rate('volary_agent_proxy_call_seconds_sum', 'rpc')}"
                            f" / {rate('volary_agent_proxy_call_seconds_count', 'rpc')}"
                        ),
                        "{{rpc}}",
                    )
                ],
            ),
            Panel(
                "Open streams, calls in flight, signed URLs",
                "short",
                [
                    (f"sum(volary_agent_proxy_streams{{{JOB}}})", "streams"),
                    (f"sum(volary_agent_proxy_calls_in_flight{{{JOB}}})", "calls"),
                    (rate("volary_agent_proxy_signer_requests_total", "verb"), "{{verb}} URLs/s"),
                ],
            ),
        ],
    },
)

DASHBOARDS = (SERVICE, INTERNALS, AGENT)


def write() -> None:
    for dashboard in DASHBOARDS:
        dashboard.path.parent.mkdir(parents=True, exist_ok=True)
        dashboard.path.write_text(render(dashboard))


def expressions() -> Iterator[tuple[str, str]]:
    """Yield each query with the title of its panel; Grafana's variables are replaced."""
    for dashboard in DASHBOARDS:
        for panels in dashboard.rows.values():
            for panel in panels:
                for expression, _ in panel.queries:
                    plain = expression.replace("$__rate_interval", "5m").replace("$job", ".*")
                    yield f"{dashboard.title}: {panel.title}", plain
