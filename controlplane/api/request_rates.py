"""
Limits API requests per org, in the memory of this replica.

Each org with a limit has a token bucket of one second's requests. A refused call has cost no
statement. Limits are read by ``loops.request_rates``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

from prometheus_client import Counter

from controlplane.core.quotas import Limit, exceeded
from shared.model.ids import OrgName

REFUSED = Counter(
    "volary_quota_refused_requests",
    "API requests that were refused because their org had used up its requests per second.",
    registry=None,  # ``main`` registers it
)


@dataclass(slots=True)
class _Bucket:
    rate: int
    full_at: float  # on the monotonic clock: when all of the second's requests are free again


class RequestRates:
    """Token buckets of the orgs with a limit; others cost one look-up."""

    def __init__(self) -> None:
        self._buckets: dict[OrgName, _Bucket] = {}

    def set_limits(self, limits: Mapping[OrgName, int]) -> None:
        """Replace all limits; an org whose limit is as before keeps its bucket."""
        self._buckets = {
            org: self._buckets[org]
            if org in self._buckets and self._buckets[org].rate == rate
            else _Bucket(rate, 0.0)
            for org, rate in limits.items()
        }

    def take(self, org: OrgName) -> None:
        """Count a request; QuotaExceededError, with when to try again, if the org has none left."""
        bucket = self._buckets.get(org)
        if bucket is None:
            return
        now = monotonic()
        full_at = max(bucket.full_at, now) + 1 / bucket.rate
        wait = full_at - now - 1
        if wait > 1e-6:  # less is rounding
            REFUSED.inc()
            raise exceeded(
                Limit.REQUESTS_PER_SECOND,
                f"org {org}, at each replica,",
                bucket.rate,
                bucket.rate,
                retry_after=timedelta(seconds=wait),
            )
        bucket.full_at = full_at
