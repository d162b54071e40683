"""
Outbox of reports that are persisted and not yet acknowledged.

The stream may break between any two messages, so a report leaves the outbox when it is
acknowledged, not when it is sent. After a reconnect everything still here is sent again;
the control plane ignores repeats.
"""

from collections import deque
from collections.abc import Sequence

from dataplane.agent.core import link_limits
from shared.model.ids import AttemptId
from shared.model.phases import TERMINAL
from shared.model.reports import Acknowledgement, Report


class Outbox:
    """
    Reports to send, in the order in which they happened.

    Bounded by the number of active attempts: each has a handful of reports.
    """

    def __init__(self) -> None:
        self._open: dict[AttemptId, deque[Report]] = {}
        self._unsent: deque[Report] = deque()
        self._in_flight = 0

    def __repr__(self) -> str:
        return f"<Outbox unsent={len(self._unsent)} in_flight={self._in_flight}>"

    def __len__(self) -> int:
        """Return how many reports are not acknowledged."""
        return sum(map(len, self._open.values()))

    def add(self, reports: Sequence[Report]) -> None:
        for report in reports:
            self._open.setdefault(report.attempt, deque()).append(report)
            self._unsent.append(report)

    def rewind(self) -> None:
        """Mark everything as unsent, at the start of a session."""
        self._unsent = deque(report for reports in self._open.values() for report in reports)
        self._in_flight = 0

    def take(self) -> Sequence[Report]:
        """Return the next reports to send, as many as fit one frame; empty at REPORTS_IN_FLIGHT."""
        taken: list[Report] = []
        size = 0
        while (
            self._unsent
            and len(taken) < link_limits.FRAME_ITEMS
            and self._in_flight < link_limits.REPORTS_IN_FLIGHT
        ):
            report = self._unsent[0]
            size += _size(report)
            if taken and size > link_limits.FRAME_BYTES:
                break
            self._unsent.popleft()
            if report not in self._open.get(report.attempt, ()):
                continue  # acknowledged or dropped before it was sent
            taken.append(report)
            self._in_flight += 1
        return taken

    def acknowledge(self, acknowledgement: Acknowledgement) -> bool:
        """Drop the acknowledged reports; return whether the terminal one was among them."""
        reports = self._open.get(acknowledgement.attempt)
        if reports is None:
            return False
        last = None
        while reports and reports[0].version <= acknowledgement.version:
            last = reports.popleft()
            self._in_flight = max(0, self._in_flight - 1)
        if not reports:
            del self._open[acknowledgement.attempt]
        return last is not None and last.phase in TERMINAL

    def drop(self, attempt: AttemptId) -> None:
        """Drop all reports of the attempt."""
        dropped = self._open.pop(attempt, ())
        self._in_flight = max(0, self._in_flight - len(dropped))


def _size(report: Report) -> int:
    """Estimate the report's size on the wire, in bytes."""
    failure = 0 if report.failure is None else len(report.failure.message)
    return 200 + len(report.message) + failure + sum(len(e.message) + 40 for e in report.events)
