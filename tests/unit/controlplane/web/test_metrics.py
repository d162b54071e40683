"""Tests of the metrics of HTTP requests that are no RPCs."""

import pytest
from prometheus_client import CollectorRegistry
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.web.metrics import HttpMetrics


async def ask(application: ASGIApp, path: str) -> None:
    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Message) -> None:
        pass

    await application({"type": "http", "path": path, "method": "GET"}, receive, send)


@pytest.mark.parametrize(
    ("path", "surface"),
    [
        ("/blobs/acme/o.pb", "blobs"),
        ("/v2/domain/d", "console"),
        ("/oauth2/token", "logins"),
        ("/readyz", "probes"),
        ("/api/v1/executions", "resource_api"),
        ("/", "pages"),
        ("*", "pages"),
        ("/chosen-by-a-caller", "pages"),
    ],
)
async def test_http_metrics_count_requests_by_surface(path: str, surface: str) -> None:
    registry = CollectorRegistry()
    application = HttpMetrics(registry).measured(PlainTextResponse("gone", status_code=404))
    await ask(application, path)
    counted = {"surface": surface, "code": "4xx"}
    assert registry.get_sample_value("volary_http_requests_total", counted) == 1
    name = "volary_http_request_seconds_count"
    assert registry.get_sample_value(name, {"surface": surface}) == 1
    assert registry.get_sample_value("volary_http_requests_in_flight") == 0


async def test_http_metrics_count_a_request_that_fails_without_an_answer() -> None:
    async def fail(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise RuntimeError("a bug")

    registry = CollectorRegistry()
    with pytest.raises(RuntimeError):
        await ask(HttpMetrics(registry).measured(fail), "/blobs/x")
    counted = {"surface": "blobs", "code": "none"}
    assert registry.get_sample_value("volary_http_requests_total", counted) == 1
