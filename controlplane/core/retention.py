"""Times to keep data that is not deleted on request."""

from dataclasses import dataclass
from datetime import timedelta

EVENTS_KEPT = timedelta(days=30)
"""How long events of attempts are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """
    The installation's times to keep data.

    ``runs``: of ended runs with their data, None for ever. ``unused_cache_entries``: counted from
    their last use.
    """

    runs: timedelta | None = None
    unused_cache_entries: timedelta = timedelta(days=30)
    attempt_events: timedelta = EVENTS_KEPT
