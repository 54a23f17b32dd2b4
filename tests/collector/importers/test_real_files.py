"""Files of other projects reach the database whole, through the pipeline that an import uses."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from collector.importers.reader import Request, read_requests
from collector.service import offline_pipeline
from collector.store import open_store
from collector.store.protocol import QueryLimits
from tests.collector.importers.files import real_data

if TYPE_CHECKING:
    from pathlib import Path

_DEATHSTARBENCH = "traces-1695947455229.json.gz"


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database file that does not exist yet."""
    return tmp_path / "real.duckdb"


def _import(path: Path, db: Path) -> tuple[int, int]:
    """Import a file; return how many records were read and how many refused. No problem is met."""
    with offline_pipeline(db) as pipeline:
        items = list(read_requests(path))
        requests = [item for item in items if isinstance(item, Request)]
        assert requests == items
        answers = [pipeline.submit(request.signal, request.body) for request in requests]
        refused = sum(answer.result().count for answer in answers)
    return sum(request.records for request in requests), refused


def _rows(db: Path, sql: str) -> list[dict[str, Any]]:
    store = open_store(db)
    try:
        rows: list[dict[str, Any]] = store.query(sql, QueryLimits()).to_pylist()
    finally:
        store.close()
    return rows


def _count(db: Path, view: str) -> int:
    [row] = _rows(db, f"SELECT count(*) AS n FROM {view}")
    return int(row["n"])


@pytest.mark.parametrize(
    ("name", "read", "stored"),
    [
        ("ascend", 8, 8),
        ("envoy", 1, 1),
        ("messaging", 4, 4),
        ("messaging-kafka", 28, 28),
        ("messaging2", 11, 11),
        ("simple-db-p6", 5, 5),
        ("skew", 4, 4),
        ("smartthings-mobile-web-install", 1041, 1041),
        ("smartthings-oauth-authorization", 175, 175),  # five receives share an id and start apart
        ("yelp", 16, 16),
    ],
)
def test_zipkins_spans_are_stored_on_both_sides_of_a_call(name: str, read: int, stored: int, db: Path) -> None:
    """A client and a server of one id are two rows; what differs in its start alone is a span of its own."""
    path = real_data("zipkin-lens") / f"{name}.json"
    raw = json.loads(path.read_text())
    sides = {
        (
            span["traceId"].zfill(32),
            span["id"].zfill(16),
            span.get("kind", "UNSPECIFIED").lower(),
            _resource(span),
            span.get("timestamp", 0) * 1000,
        )
        for span in raw
    }
    assert (_import(path, db), len(raw), len(sides)) == ((read, 0), read, stored)
    rows = _rows(
        db,
        "SELECT trace_id, span_id, kind::VARCHAR AS kind, resource_attributes['service.name'] AS service,"
        " resource_attributes['host.ip'] AS address, start_unix_nano AS start FROM spans",
    )
    assert len(rows) == stored
    assert {(r["trace_id"], r["span_id"], r["kind"], (r["service"], r["address"]), r["start"]) for r in rows} == sides


def _resource(span: dict[str, Any]) -> tuple[str | None, str | None]:
    endpoint = span.get("localEndpoint") or {}
    return endpoint.get("serviceName"), endpoint.get("ipv4") or endpoint.get("ipv6")


def test_deathstarbench_is_stored_whole(db: Path) -> None:
    """20 traces of 33 spans in 12 services; a second import of the file adds nothing."""
    path = real_data("deathstarbench") / _DEATHSTARBENCH
    assert [_import(path, db), _import(path, db)] == [(660, 0), (660, 0)]
    traces = json.loads(gzip.decompress(path.read_bytes()))["data"]
    found = _rows(db, "SELECT right(trace_id, 16) AS id, count(*) AS spans FROM spans GROUP BY ALL")
    assert {row["id"]: row["spans"] for row in found} == {trace["traceID"]: 33 for trace in traces}
    assert len(traces) == 20
    [row] = _rows(
        db,
        "SELECT count(DISTINCT service_name) AS services, sum(duration_ns) AS took,"
        " count(*) FILTER (parent_span_id IS NULL) AS roots FROM spans",
    )
    took_us = sum(span["duration"] for trace in traces for span in trace["spans"])
    roots = sum(not span["references"] for trace in traces for span in trace["spans"])
    assert row == {"services": 12, "took": took_us * 1000, "roots": roots}


@pytest.mark.parametrize(
    ("name", "read", "stored"),
    [
        ("otlp-proto-examples/trace", 1, {"spans": 1, "metrics": 0, "logs": 0}),
        ("otlp-proto-examples/metrics", 4, {"spans": 0, "metrics": 4, "logs": 0}),
        ("otlp-proto-examples/logs", 1, {"spans": 0, "metrics": 0, "logs": 1}),
        ("otlp-proto-examples/events", 1, {"spans": 0, "metrics": 0, "logs": 1}),
        ("jaeger-backend/otel_traces_01", 4, {"spans": 4, "metrics": 0, "logs": 0}),
        ("jaeger-backend/otlp2jaeger-in", 2, {"spans": 1, "metrics": 0, "logs": 0}),  # one span, twice
    ],
)
def test_otlp_files_are_stored_by_signal(name: str, read: int, stored: dict[str, int], db: Path) -> None:
    """Every record that is no duplicate is a row of its signal's view, and of no other."""
    folder, _, file = name.partition("/")
    path = real_data(folder) / f"{file}.json"
    assert _import(path, db) == (read, 0)
    assert {view: _count(db, view) for view in stored} == stored


def test_the_examples_of_otlp_keep_their_hex_ids(db: Path) -> None:
    """What the file writes in upper case is found in lower case."""
    path = real_data("otlp-proto-examples") / "trace.json"
    [span] = json.loads(path.read_text())["resourceSpans"][0]["scopeSpans"][0]["spans"]
    _import(path, db)
    ids = {"trace_id": "traceId", "span_id": "spanId", "parent_span_id": "parentSpanId"}
    [row] = _rows(db, f"SELECT {', '.join(ids)} FROM spans")
    assert row == {column: span[name].lower() for column, name in ids.items()}
