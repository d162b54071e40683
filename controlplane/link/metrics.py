"""Prometheus metrics of the agents' link."""

from collections import Counter as Tally
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

from shared.model.reports import Acknowledgement, AckStatus


class LinkMetrics:
    """Counts sessions, assignments, and ``reports`` by ack status; REPEATED measures resending."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.assignments = Counter("volary_link_assignments", "Assignments sent", registry=registry)
        self.opened = Counter("volary_link_opened", "Sessions begun", registry=registry)
        self.sessions = Gauge("volary_link_sessions", "Sessions open", registry=registry)
        reports = Counter("volary_link_reports", "Reports received", ["status"], registry=registry)
        self._reports = {status: reports.labels(status.name.lower()) for status in AckStatus}

    def answered(self, acknowledgements: Sequence[Acknowledgement]) -> None:
        """Count reports by their ack status."""
        for status, count in Tally(each.status for each in acknowledgements).items():
            self._reports[status].inc(count)
