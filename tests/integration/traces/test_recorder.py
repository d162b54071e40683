"""Tests of sending spans: to a real OTLP receiver, and to a collector that is not there."""

import asyncio
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from shared.model.traces import TraceContext
from shared.traces.export import QUEUED
from shared.traces.opening import make_recorder
from shared.traces.spans import NO_SPANS, Span, SpanKind
from tests.running import until
from tests.servers.collector import Collector, collecting

AT = datetime(2026, 1, 1, tzinfo=UTC)
CONTEXT = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True)
OTHER = TraceContext("a" * 32, "b" * 16, sampled=True)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def span(name: str = "run", *, context: TraceContext = CONTEXT, error: str = "") -> Span:
    return Span(
        name=name,
        context=context,
        parent="c" * 16,
        started_at=AT,
        ended_at=AT + timedelta(microseconds=1_500),
        kind=SpanKind.CONSUMER,
        attributes={"volary.attempt": 2, "volary.org": "acme"},
        error=error,
        links=[OTHER],
    )


async def test_span_arrives_whole(collector: Collector) -> None:
    recorder = make_recorder(collector.endpoint, service="volary-test")
    recorder.record(span(error="it broke"))
    await recorder.close()
    [received] = collector.spans
    assert (received.trace_id, received.span_id) == (CONTEXT.trace_id, CONTEXT.span_id)
    assert (received.name, received.service, received.kind) == ("run", "volary-test", "consumer")
    assert (received.parent, received.links) == ("c" * 16, [OTHER.span_id])
    assert received.attributes == {"volary.attempt": "2", "volary.org": "acme"}
    assert (received.error, received.nanoseconds) == ("it broke", 1_500_000)
    assert recorder.counts == {"sent": 1}


async def test_span_that_is_not_sampled_is_sent_only_with_an_error(collector: Collector) -> None:
    recorder = make_recorder(collector.endpoint, service="volary-test")
    unsampled = TraceContext(CONTEXT.trace_id, CONTEXT.span_id, sampled=False)
    recorder.record(span("went well", context=unsampled))
    recorder.record(span("failed", context=unsampled, error="it broke"))
    await recorder.close()
    assert [each.name for each in collector.spans] == ["failed"]


async def test_spans_are_sent_while_the_program_runs(collector: Collector) -> None:
    recorder = make_recorder(collector.endpoint, service="volary-test")
    for number in range(1_000):
        recorder.record(span(f"span{number}"))
    await until(lambda: len(collector.spans) == 1_000, "all spans have arrived")
    await recorder.close()


async def test_collector_that_is_away_costs_spans_and_no_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.socket() as held:  # a port that nobody listens on
        held.bind(("127.0.0.1", 0))
        recorder = make_recorder(f"http://127.0.0.1:{held.getsockname()[1]}", service="volary-test")
        for _ in range(3 * QUEUED):
            recorder.record(span())
        assert recorder.counts["dropped"] >= QUEUED
        async with asyncio.timeout(60):
            await recorder.close()
    counts = recorder.counts
    assert counts["failed"] + counts["dropped"] == 3 * QUEUED
    assert "sent" not in counts
    said = [each for each in caplog.records if each.name.startswith(("shared", "opentelemetry"))]
    assert [each.getMessage() for each in said] == [
        "spans not sent, the collector does not take them"
    ]


async def test_no_endpoint_means_no_spans() -> None:
    recorder = make_recorder("", service="volary-test")
    assert recorder is NO_SPANS
    recorder.record(span())
    await recorder.close()
    assert not recorder.counts
