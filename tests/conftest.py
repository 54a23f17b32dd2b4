"""A small collector with known data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.client import Client, connect
from collector.ingest.pipeline import Pipeline
from collector.query.api import create_app
from collector.signals import Signal
from collector.store import open_store
from collector.store.protocol import QueryLimits
from collector.web import WebServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

os.environ.setdefault("LITHOSCOPE_DASHBOARD", "off")  # collectors that tests start by the dozen do without
START_NS = 1_795_435_200_000_000_000  # 2026-11-23T12:00:00Z
DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class Shop:
    """Two traces of a shop: one of three spans, with an error and an event, and a day later one of a single span."""

    first: str = "01" * 16
    second: str = "02" * 16

    def request(self) -> bytes:
        """Return both traces as one OTLP request."""
        request = ExportTraceServiceRequest()
        web, cart = (_spans(request, name) for name in ("web", "cart"))
        for spans, number, parent, end_ms in ((web, 1, 0, 100), (cart, 2, 1, 80), (cart, 3, 2, 30)):
            span = spans.add(trace_id=b"\1" * 16, span_id=number.to_bytes(8), name=f"op {number}")
            span.parent_span_id = parent.to_bytes(8) if parent else b""
            span.start_time_unix_nano = START_NS + number * 1_000_000
            span.end_time_unix_nano = START_NS + end_ms * 1_000_000
        cart[1].status.code = 2
        cart[1].events.add(name="exception", time_unix_nano=START_NS)
        web.add(trace_id=b"\2" * 16, span_id=b"\4" * 8, name="next day", start_time_unix_nano=START_NS + DAY_NS)
        web[1].end_time_unix_nano = START_NS + DAY_NS + 7
        return bytes(request.SerializeToString())


def _spans(request: Any, service: str) -> Any:
    resource_spans = request.resource_spans.add()
    attribute = resource_spans.resource.attributes.add(key="service.name")
    attribute.value.string_value = service
    return resource_spans.scope_spans.add().spans


@pytest.fixture(scope="session")
def shop() -> Shop:
    """The known data."""
    return Shop()


@pytest.fixture(scope="session")
def shop_file(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed database file that holds the shop's traces, to be read only."""
    path = tmp_path_factory.mktemp("shop") / "shop.duckdb"
    store = open_store(path)
    pipeline = Pipeline(store, path.with_name("shop.duckdb.log"))
    pipeline.submit(Signal.TRACES, shop.request()).result()
    pipeline.close()
    store.close()
    return path


@pytest.fixture(scope="session")
def client(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A client of a running query API over the shop's traces; it answers at most 1000 rows."""
    store = open_store(":memory:")
    pipeline = Pipeline(store, tmp_path_factory.mktemp("log"))
    pipeline.submit(Signal.TRACES, shop.request()).result()
    pipeline.flush()
    limits = QueryLimits(seconds=20, rows=1000)
    app = create_app(store, pipeline, limits=limits, addresses={"http": "127.0.0.1:4318"})
    server = WebServer(app, "127.0.0.1", 0, option="--query")
    server.start()
    yield connect(f"http://127.0.0.1:{server.port}")
    server.stop()
    pipeline.close()
    store.close()
