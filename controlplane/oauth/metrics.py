"""Prometheus metrics of the authorization server, and of people's logins."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter

from controlplane.core.errors import RequestError, UnavailableError
from controlplane.core.identity_providers import LoginError

_OUTCOMES = frozenset({
    "access_denied", "authorization_pending", "expired_token", "invalid_client", "invalid_grant",
    "invalid_request", "ok", "slow_down", "temporarily_unavailable", "unauthorized_client",
    "unsupported_grant_type", "unsupported_token_type",
})  # fmt: skip


class BrowserLoginMetrics:
    """Counts logins of people in browsers; ``refused`` includes those that took too long."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._logins = Counter(
            "volary_browser_logins",
            "Logins of people, by step (begin, finish, owner_link) and outcome (ok, refused,"
            " unavailable).",
            ["step", "outcome"],
            registry=registry,
        )

    @contextmanager
    def counted(self, step: str) -> Iterator[None]:
        """Count one step of a login, by whether it raises, and what."""
        try:
            yield
        except (LoginError, RequestError) as error:
            is_temporary = isinstance(error, UnavailableError) or (
                isinstance(error, LoginError) and error.is_temporary
            )
            self._logins.labels(step, "unavailable" if is_temporary else "refused").inc()
            raise
        self._logins.labels(step, "ok").inc()


class OAuthMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "volary_oauth_requests",
            "Requests to credential endpoints, by outcome (ok, or OAuth 2.0's error code).",
            ["endpoint", "outcome"],
            registry=registry,
        )

    def ended(self, endpoint: str, outcome: str) -> None:
        """Count a request; outcomes that are not OAuth 2.0's count as "other"."""
        known = outcome if outcome in _OUTCOMES else "other"
        self._requests.labels(endpoint, known).inc()
