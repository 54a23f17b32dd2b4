"""Three small services that call each other and send traces: gateway asks orders, orders asks stock for each item.

``python shop.py gateway|orders|stock``. The OpenTelemetry SDK takes its settings from OTEL_* variables; where the
others are is in ORDERS_URL and STOCK_URL. The gateway asks itself for an order twice a second (REQUESTS_PER_SECOND).
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable

ITEMS = 4
FAILS = 0.03  # of the reservations
tracer = trace.get_tracer("shop")


def ask(url: str) -> None:
    """Call another service, with a span of its own and the trace's context in the headers."""
    with tracer.start_as_current_span("GET", kind=SpanKind.CLIENT, attributes={"url.full": url}) as span:
        headers: dict[str, str] = {}
        propagate.inject(headers)
        try:
            urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5).close()
        except urllib.error.HTTPError as error:
            span.set_attribute("http.response.status_code", error.code)
            raise


def buy() -> None:
    """Gateway: one order."""
    ask(f"{os.environ['ORDERS_URL']}/orders")


def order() -> None:
    """Orders: one call after the other for each item, which is what the report will complain of."""
    for item in range(ITEMS):
        ask(f"{os.environ['STOCK_URL']}/items/{item}")
    with tracer.start_as_current_span("INSERT orders", kind=SpanKind.CLIENT, attributes={"db.system": "postgresql"}):
        time.sleep(random.uniform(0.001, 0.004))


def reserve() -> None:
    """Stock: looks an item up, and now and then fails."""
    with tracer.start_as_current_span("SELECT items", kind=SpanKind.CLIENT, attributes={"db.system": "sqlite"}):
        time.sleep(random.uniform(0.002, 0.010))
    if random.random() < FAILS:
        raise RuntimeError("the item is locked")


ROLES: dict[str, tuple[str, Callable[[], None]]] = {
    "gateway": ("/buy", buy),
    "orders": ("/orders", order),
    "stock": ("/items/{item}", reserve),
}


def handler(route: str, work: Callable[[], None]) -> type[BaseHTTPRequestHandler]:
    """A request handler that does the work inside a server span."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            context = propagate.extract({name.lower(): value for name, value in self.headers.items()})
            attributes = {"http.request.method": "GET", "http.route": route}
            with tracer.start_as_current_span(f"GET {route}", context, SpanKind.SERVER, attributes) as span:
                try:
                    work()
                    status = 200
                except (OSError, RuntimeError) as error:
                    span.set_status(Status(StatusCode.ERROR, str(error)))
                    status = 500
                span.set_attribute("http.response.status_code", status)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Traces say more."""

    return Handler


def drive(port: int, stopping: threading.Event) -> None:
    """Ask for orders until told to stop."""
    pause = 1 / float(os.environ.get("REQUESTS_PER_SECOND", "2"))
    while not stopping.wait(random.expovariate(1 / pause)):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/buy", timeout=10).close()
        except OSError:  # it is in the traces
            continue


def main() -> None:
    """Serve until SIGTERM."""
    role = sys.argv[1]
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    server = ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), handler(*ROLES[role]))
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"{role} {server.server_port}", flush=True)
    if role == "gateway":
        drive(server.server_port, stopping)
    stopping.wait()
    server.shutdown()
    provider.shutdown()


if __name__ == "__main__":
    main()
