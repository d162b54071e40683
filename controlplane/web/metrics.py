"""Prometheus metrics of HTTP requests that are no RPCs: blobs, logins, the console, the resource API."""

from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SURFACES = {
    "api": "resource_api",
    "assets": "console",
    "blobs": "blobs",
    "callbacks": "callbacks",
    "healthz": "probes",
    "metrics": "probes",
    "oauth2": "logins",
    "login": "logins",
    "readyz": "probes",
    ".well-known": "logins",
    "v2": "console",
}
"""By the first segment of the path, which callers choose; every other path counts as a page."""


class HttpMetrics:
    def __init__(self, registry: CollectorRegistry | None) -> None:
        """``registry`` is None where nothing reads them."""
        self._requests = Counter(
            "volary_http_requests",
            "HTTP requests that are no RPCs, by surface and class of the status (2xx; none: the"
            " client went away before an answer).",
            ["surface", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "volary_http_request_seconds",
            "How long they took, bodies included.",
            ["surface"],
            buckets=(0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
            registry=registry,
        )
        self._open = Gauge(
            "volary_http_requests_in_flight",
            "HTTP requests that are no RPCs, being answered now.",
            registry=registry,
        )

    def measured(self, application: ASGIApp) -> ASGIApp:
        """Return the application with each request counted."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            surface = _SURFACES.get(scope["path"].removeprefix("/").partition("/")[0], "pages")
            code = "none"

            async def sent(message: Message) -> None:
                nonlocal code
                if message["type"] == "http.response.start":
                    code = f"{message['status'] // 100}xx"
                await send(message)

            begun = perf_counter()
            self._open.inc()
            try:
                await application(scope, receive, sent)
            finally:
                self._open.dec()
                self._requests.labels(surface, code).inc()
                self._seconds.labels(surface).observe(perf_counter() - begun)

        return answer
