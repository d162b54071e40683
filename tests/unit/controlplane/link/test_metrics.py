"""The metrics of the agents' link, as Prometheus reads them."""

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
