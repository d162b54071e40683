"""
Sends spans by OTLP over gRPC, in a thread of its own.

A collector that is slow or away costs spans and nothing else: those that find QUEUED others waiting
are dropped, and so is what cannot be sent within SEND_SECONDS.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from shared.kit.outside_logs import OutsideLog
from shared.model.traces import TraceContext
from shared.traces import spans

log = OutsideLog(logging.getLogger(__name__), lines_a_minute=1)

QUEUED = 4_096
SEND_SECONDS = 5.0
STOP_SECONDS = 2.0
"""How long spans may be sent when the program stops; the rest is dropped."""
_SCOPE = InstrumentationScope("volary", version("volary"))
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KINDS = {kind: SpanKind[kind.name] for kind in spans.SpanKind}


class OtlpRecorder:
    """``counts`` has how many spans were sent, failed (the collector took none), and dropped."""

    is_on = True

    def __init__(self, endpoint: str, *, service: str, ratio: float) -> None:
        self.ratio = ratio
        self.counts: Counter[str] = Counter()
        self._resource = Resource.create({
            "service.name": service,
            "service.version": version("volary"),
        })  # fmt: skip
        self._taken = 0
        self._exporter = _Exporter(endpoint, self.counts)
        # The library warns of each span that it drops; ours never get that far.
        self._processor = BatchSpanProcessor(
            self._exporter, max_queue_size=2 * QUEUED, schedule_delay_millis=1_000
        )

    def record(self, span: spans.Span) -> None:
        """Queue a span; one that finds QUEUED others waiting is dropped."""
        if not span.context.sampled and not span.error:
            return
        if self._taken - self._exporter.done >= QUEUED:
            self.counts["dropped"] += 1
            return
        self._taken += 1
        self._processor.on_end(self._readable(span))

    async def close(self) -> None:
        """Send what is queued, for at most STOP_SECONDS."""
        stopping = asyncio.get_running_loop().run_in_executor(None, self._stop)
        _, late = await asyncio.wait([stopping], timeout=STOP_SECONDS)
        if late:
            self._exporter.give_up()
            await stopping

    def _stop(self) -> None:
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: spans.Span) -> ReadableSpan:
        context = span.context
        return ReadableSpan(
            span.name,
            context=_context(context),
            parent=_context(TraceContext(context.trace_id, span.parent, sampled=True))
            if span.parent
            else None,
            resource=self._resource,
            attributes=span.attributes,
            links=[Link(_context(each)) for each in span.links],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
            start_time=_nanoseconds(span.started_at),
            end_time=_nanoseconds(span.ended_at),
            instrumentation_scope=_SCOPE,
        )


class _Exporter(SpanExporter):
    """Counts what the library's exporter sends, and says once a minute that it cannot."""

    def __init__(self, endpoint: str, counts: Counter[str]) -> None:
        self.done = 0
        self._counts = counts
        self._endpoint = endpoint
        self._otlp = OTLPSpanExporter(endpoint=endpoint, timeout=SEND_SECONDS)
        self._given_up = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            if not self._given_up:
                result = self._otlp.export(spans)
        finally:
            is_sent = result is SpanExportResult.SUCCESS
            self._counts["sent" if is_sent else "failed"] += len(spans)
            self.done += len(spans)
        if not is_sent:
            log.warning(
                "spans not sent, the collector does not take them",
                extra={"endpoint": self._endpoint, "spans": len(spans)},
            )
        return result

    def give_up(self) -> None:
        """End the sending under way, and send nothing more."""
        self._given_up = True
        self._otlp.shutdown()

    def shutdown(self) -> None:
        if not self._given_up:
            self._otlp.shutdown()


def _context(context: TraceContext) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16), int(context.span_id, 16), is_remote=False, trace_flags=_SAMPLED
    )


def _nanoseconds(at: datetime) -> int:
    return round(at.timestamp() * 1e6) * 1_000
