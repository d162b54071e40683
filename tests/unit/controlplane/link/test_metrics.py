"""The metrics of the agents' link, as Prometheus reads them."""

from importlib.metadata import version
from uuid import UUID

from prometheus_client import CollectorRegistry

from controlplane.link.metrics import LinkMetrics
from shared.model.ids import ActionId, AttemptId
from shared.model.reports import Acknowledgement, AckStatus


def test_link_metrics_count_reports_by_ack_status() -> None:
    registry = CollectorRegistry()
    metrics = LinkMetrics(registry)
    attempt = AttemptId(ActionId(UUID(int=1)), 1)
    metrics.answered(
        [Acknowledgement(attempt, version, AckStatus.APPLIED) for version in (1, 2)]
        + [Acknowledgement(attempt, 2, AckStatus.REPEATED)]
    )
    counted = {
        status: registry.get_sample_value("volary_link_reports_total", {"status": status})
        for status in ("applied", "repeated", "stale")
    }
    assert counted == {"applied": 2, "repeated": 1, "stale": 0}


def test_link_metrics_count_sessions_of_other_releases_apart() -> None:
    registry = CollectorRegistry()
    metrics = LinkMetrics(registry)
    with (
        metrics.session(f"volary-agent {version('volary')}"),
        metrics.session("volary-agent 0.0.1"),
    ):
        assert open_of(registry, "same") == open_of(registry, "other") == 1
    assert open_of(registry, "same") == open_of(registry, "other") == 0
    assert registry.get_sample_value("volary_link_sessions_opened_total") == 2


def test_link_metrics_count_unknown_reasons_of_ends_as_other() -> None:
    registry = CollectorRegistry()
    metrics = LinkMetrics(registry)
    for reason in ("superseded", "a later release's", "another"):
        metrics.ended(reason)
    name = "volary_link_sessions_ended_total"
    assert registry.get_sample_value(name, {"reason": "superseded"}) == 1
    assert registry.get_sample_value(name, {"reason": "other"}) == 2


def open_of(registry: CollectorRegistry, release: str) -> float | None:
    return registry.get_sample_value("volary_link_sessions", {"release": release})
