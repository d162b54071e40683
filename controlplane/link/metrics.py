"""Prometheus metrics of the agents' link."""

from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controlplane.usecases.agent_sessions import HandOut
from shared.model.reports import Acknowledgement, AckStatus

_WAITS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86_400)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ENDS = frozenset({
    "closed", "expired", "identity", "internal", "protocol", "silent", "slow", "stopping",
    "superseded", "unauthenticated", "unavailable", "version",
})  # fmt: skip
_RELEASES = ("same", "other")


class LinkMetrics:
    """Counts sessions, assignments, and ``reports`` by ack status; REPEATED measures resending."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._assignments = Counter(
            "volary_link_assignments", "Assignments sent.", registry=registry
        )
        self._waits = Histogram(
            "volary_dispatch_wait_seconds",
            "From when an attempt could be leased to when a cluster leased it.",
            buckets=_WAITS,
            registry=registry,
        )
        self._opened = Counter(
            "volary_link_sessions_opened", "Sessions of agents that began.", registry=registry
        )
        self._ended = Counter(
            "volary_link_sessions_ended",
            "Sessions and refused connections of agents that ended, by reason.",
            ["reason"],
            registry=registry,
        )
        sessions = Gauge(
            "volary_link_sessions",
            "Open sessions of agents, by their release: same (as this replica's), other.",
            ["release"],
            registry=registry,
        )
        self._sessions = {release: sessions.labels(release) for release in _RELEASES}
        reports = Counter(
            "volary_link_reports",
            "Reports received, by what they changed: applied, repeated, stale.",
            ["status"],
            registry=registry,
        )
        self._reports = {status: reports.labels(status.name.lower()) for status in AckStatus}
        seconds = Histogram(
            "volary_link_operation_seconds",
            "How long a session's transactions took: claim (of work), commit (of reports).",
            ["operation"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.claim, self.commit = seconds.labels("claim"), seconds.labels("commit")
        self._own_release = f"volary-agent {version('volary')}"

    @contextmanager
    def session(self, software: str) -> Iterator[None]:
        """Count a session of an agent that names itself ``software``, as open within the block."""
        self._opened.inc()
        release = "same" if software == self._own_release else "other"
        with self._sessions[release].track_inprogress():
            yield

    def ended(self, reason: str) -> None:
        """Count the end of a session, or a refusal, by its code."""
        self._ended.labels(reason if reason in _ENDS else "other").inc()

    def assigned(self, found: HandOut) -> None:
        """Count assignments, and how long they have waited."""
        self._assignments.inc(len(found.assignments))
        for waited in found.waits:
            self._waits.observe(waited.total_seconds())

    def answered(self, acknowledgements: Sequence[Acknowledgement]) -> None:
        """Count reports by their ack status."""
        for status, count in Tally(each.status for each in acknowledgements).items():
            self._reports[status].inc(count)
