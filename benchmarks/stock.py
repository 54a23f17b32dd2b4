"""A service with the OpenTelemetry SDK as it comes: ``stock.py ADDRESS SECONDS``; prints how many spans it made.

Its queue holds 2048 spans and it makes 100 a second: a batch that fails for good is what would be lost.
"""

from __future__ import annotations

import json
import sys
import time

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

SERVICE = "stock"
_EVERY_S = 0.01


class Counting(SpanExporter):
    """Passes on to the real exporter, and counts the spans of batches that it gave up."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.given_up = 0

    def export(self, spans: object) -> SpanExportResult:
        """See ``SpanExporter``."""
        result = self._exporter.export(spans)  # type: ignore[arg-type]
        if result is not SpanExportResult.SUCCESS:
            self.given_up += len(spans)  # type: ignore[arg-type]
        return result

    def shutdown(self) -> None:
        """See ``SpanExporter``."""
        self._exporter.shutdown()


def main() -> None:
    """Make spans, and print the figures as JSON."""
    exporter = Counting(OTLPSpanExporter(endpoint=f"http://{sys.argv[1]}", insecure=True))
    provider = TracerProvider(resource=Resource.create({"service.name": SERVICE}))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("stock")
    until = time.monotonic() + float(sys.argv[2])
    made = 0
    while time.monotonic() < until:
        with tracer.start_as_current_span("work"):
            made += 1
        time.sleep(_EVERY_S)
    provider.force_flush(60_000)
    provider.shutdown()
    print(json.dumps({"made": made, "given_up": exporter.given_up}))


if __name__ == "__main__":
    main()
