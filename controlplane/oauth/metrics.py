"""Prometheus metrics of the authorization server."""

from prometheus_client import CollectorRegistry, Counter

_OUTCOMES = frozenset({
    "access_denied", "authorization_pending", "expired_token", "invalid_client", "invalid_grant",
    "invalid_request", "ok", "slow_down", "temporarily_unavailable", "unauthorized_client",
    "unsupported_grant_type", "unsupported_token_type",
})  # fmt: skip


class OAuthMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "volary_oauth_requests",
            "Requests to credential endpoints, by outcome (ok, or OAuth 2.0's error code)",
            ["endpoint", "outcome"],
            registry=registry,
        )

    def ended(self, endpoint: str, outcome: str) -> None:
        """Count a request; outcomes that are not OAuth 2.0's count as "other"."""
        known = outcome if outcome in _OUTCOMES else "other"
        self._requests.labels(endpoint, known).inc()
