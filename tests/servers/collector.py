"""A collector of spans: OpenTelemetry's own service, with a list in place of a store."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2 as messages,
    trace_service_pb2_grpc as services,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedSpan:
    name: str
    service: str
    trace_id: str
    span_id: str
    parent: str
    kind: str
    attributes: dict[str, str]
    error: str | None
    links: Sequence[str]
    nanoseconds: int


class Collector(services.TraceServiceServicer):
    def __init__(self) -> None:
        self.endpoint = ""
        self._spans: list[ReceivedSpan] = []
        self._lock = threading.Lock()

    def Export(  # noqa: N802  # gRPC's name
        self, request: messages.ExportTraceServiceRequest, _: object
    ) -> messages.ExportTraceServiceResponse:
        received = []
        for resource in request.resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                received += [_parse(span, named["service.name"]) for span in scope.spans]
        with self._lock:
            self._spans += received
        return messages.ExportTraceServiceResponse()

    @property
    def spans(self) -> Sequence[ReceivedSpan]:
        with self._lock:
            return list(self._spans)

    def of_trace(self, trace_id: str) -> dict[str, list[ReceivedSpan]]:
        """Return the spans of a trace by name."""
        found: dict[str, list[ReceivedSpan]] = {}
        for span in self.spans:
            if span.trace_id == trace_id:
                found.setdefault(span.name, []).append(span)
        return found


def _parse(span: Span, service: str) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        service=service,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        attributes={
            each.key: each.value.string_value or str(each.value.int_value)
            for each in span.attributes
        },
        error=span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None,
        links=[link.span_id.hex() for link in span.links],
        nanoseconds=span.end_time_unix_nano - span.start_time_unix_nano,
    )


@contextmanager
def collecting() -> Iterator[Collector]:
    """Serve a collector on a free port of loopback during a block."""
    collector = Collector()
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        services.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
        port = server.add_insecure_port("127.0.0.1:0")
        collector.endpoint = f"http://127.0.0.1:{port}"
        server.start()
        try:
            yield collector
        finally:
            server.stop(None).wait()
