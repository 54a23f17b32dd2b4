"""``otel_traces`` is the table of the Collector's ClickHouse exporter, and the queries of docs/sql.md run on it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collector.decode.decoder import concatenate
from tests.collector.store.telemetry import START_NS, spans

if TYPE_CHECKING:
    from tests.collector.store.places import Place

PAGE = (Path(__file__).parents[3] / "docs" / "sql.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
TRACE = "0102030405060708090a0b0c0d0e0f10"
MINUTE_NS = 60 * 10**9
MINUTE = datetime.fromtimestamp(START_NS // 10**9, UTC).replace(tzinfo=None)

# The exporter's own columns, in its order and with its types: DateTime64(9) is TIMESTAMP_NS, UInt64 is UBIGINT.
COLUMNS = {
    "Timestamp": "TIMESTAMP_NS",
    "TraceId": "VARCHAR",
    "SpanId": "VARCHAR",
    "ParentSpanId": "VARCHAR",
    "TraceState": "VARCHAR",
    "SpanName": "VARCHAR",
    "SpanKind": "VARCHAR",
    "ServiceName": "VARCHAR",
    "ResourceAttributes": "MAP(VARCHAR, VARCHAR)",
    "ScopeName": "VARCHAR",
    "ScopeVersion": "VARCHAR",
    "SpanAttributes": "MAP(VARCHAR, VARCHAR)",
    "Duration": "UBIGINT",
    "StatusCode": "VARCHAR",
    "StatusMessage": "VARCHAR",
    "Events": 'STRUCT("Timestamp" TIMESTAMP_NS[], "Name" VARCHAR[], Attributes MAP(VARCHAR, VARCHAR)[])',
    "Links": "STRUCT(TraceId VARCHAR[], SpanId VARCHAR[], TraceState VARCHAR[], Attributes MAP(VARCHAR, VARCHAR)[])",
}
REFUSED = {"key": "exception.message", "value": {"string_value": "refused"}}
RAISED = {"name": "exception", "time_unix_nano": START_NS + 1, "attributes": [REFUSED]}
RETRIED = {"name": "retry", "time_unix_nano": START_NS + 2}
LINK = {"trace_id": b"\xab" * 16, "span_id": b"\xcd" * 8, "trace_state": "a=b"}
FULL = {
    "trace_id": bytes(range(1, 17)),
    "parent_span_id": b"\xff" * 8,
    "trace_state": "c=d",
    "kind": 3,
    "end_time_unix_nano": START_NS + 2_000_000,
    "status": {"code": 2, "message": "no"},
    "attributes": {"peer.service": "stock"},
    "events": [RAISED, RETRIED],
    "links": [LINK],
}


def test_columns_have_the_names_order_and_types_of_the_exporter(place: Place) -> None:
    """A nested column is a struct of lists."""
    described = place.rows("DESCRIBE otel_traces")
    assert [(row["column_name"], row["column_type"]) for row in described] == list(COLUMNS.items())


def test_the_page_names_every_column() -> None:
    """In their order, nested ones by their fields."""
    table = PAGE.split("|---|---|---|")[1].split("\n\n")[0]
    told = [name for line in table.splitlines() for name in re.findall(r"`([\w.]+)`", line.partition(" | ")[0])]
    nested = {name: re.findall(r'"?(\w+)"? [A-Z_]+(?:\([^)]*\))?\[\]', kind) for name, kind in COLUMNS.items()}
    assert told == [
        f"{name}{field}" for name, fields in nested.items() for field in ([f".{each}" for each in fields] or [""])
    ]


def test_a_span_has_the_values_that_the_exporter_writes(place: Place) -> None:
    """Kinds and codes in its words, nested columns as lists of one length."""
    place.append(spans(FULL, resource={"service.name": "cart", "cpus": 8}))
    (row,) = place.rows(
        "SELECT * EXCLUDE (Timestamp, Events), epoch_ns(Timestamp) AS t, Events.Name AS names, "
        "list_transform(Events.Timestamp, lambda x: epoch_ns(x)) AS times, Events.Attributes AS said FROM otel_traces"
    )
    assert row == {
        "TraceId": TRACE,
        "SpanId": "0000000000000001",
        "ParentSpanId": "f" * 16,
        "TraceState": "c=d",
        "SpanName": "op 1",
        "SpanKind": "Client",
        "ServiceName": "cart",
        "ResourceAttributes": [("service.name", "cart"), ("cpus", "8")],
        "ScopeName": "library",
        "ScopeVersion": "1.2",
        "SpanAttributes": [("peer.service", "stock")],
        "Duration": 2_000_000,
        "StatusCode": "Error",
        "StatusMessage": "no",
        "Links": {"TraceId": ["ab" * 16], "SpanId": ["cd" * 8], "TraceState": ["a=b"], "Attributes": [[]]},
        "t": START_NS,
        "names": ["exception", "retry"],
        "times": [START_NS + 1, START_NS + 2],
        "said": [[("exception.message", "refused")], []],
    }


def test_what_a_span_does_not_have_is_empty_and_never_null(place: Place) -> None:
    """As in ClickHouse, whose columns take no NULL; a span that ends before it starts has no duration."""
    place.append(spans({"kind": 0, "name": "", "end_time_unix_nano": START_NS - 5}, resource={}))
    (row,) = place.rows("SELECT * EXCLUDE (Timestamp, ServiceName, ScopeName, ScopeVersion) FROM otel_traces")
    assert row == {
        "TraceId": "01" * 16,
        "SpanId": "0000000000000001",
        "ParentSpanId": "",
        "TraceState": "",
        "SpanName": "",
        "SpanKind": "Unspecified",
        "ResourceAttributes": [],
        "SpanAttributes": [],
        "Duration": 0,
        "StatusCode": "Unset",
        "StatusMessage": "",
        "Events": {"Timestamp": [], "Name": [], "Attributes": []},
        "Links": {"TraceId": [], "SpanId": [], "TraceState": [], "Attributes": []},
    }
    assert place.rows("SELECT ScopeName, ScopeVersion FROM otel_traces WHERE ParentSpanId = ''") == [
        {"ScopeName": "library", "ScopeVersion": "1.2"}
    ]


@pytest.mark.parametrize(
    ("number", "kind"), list(enumerate(("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")))
)
def test_every_kind_has_its_word(place: Place, number: int, kind: str) -> None:
    """Those of the protocol."""
    place.append(spans({"kind": number}))
    assert place.rows("SELECT SpanKind FROM otel_traces") == [{"SpanKind": kind}]


@pytest.mark.parametrize(("number", "code"), [(0, "Unset"), (1, "Ok"), (2, "Error")])
def test_every_status_has_its_word(place: Place, number: int, code: str) -> None:
    """Those of the protocol."""
    place.append(spans({"status": {"code": number}}))
    assert place.rows("SELECT StatusCode FROM otel_traces") == [{"StatusCode": code}]


def test_a_schema_browser_lists_it(place: Place) -> None:
    """By the query that the dashboard's SQL page asks."""
    told = place.rows(
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = 'main' AND table_name = 'otel_traces' ORDER BY ordinal_position"
    )
    assert [row["column_name"] for row in told] == list(COLUMNS)


def _shop(place: Place) -> None:
    served = {"kind": 2, "end_time_unix_nano": START_NS + 1_000_000}
    early = {**FULL, "start_time_unix_nano": START_NS - 120 * MINUTE_NS, "span_id": b"\7" * 8, "events": []}
    late = {"start_time_unix_nano": START_NS + MINUTE_NS, "end_time_unix_nano": START_NS + MINUTE_NS + 3_000_000}
    cart = spans(
        FULL, served, {**served, "status": {"code": 2}}, {**served, **late}, early, resource={"service.name": "cart"}
    )
    place.append(concatenate([cart, spans({**served, "kind": 5}, resource={"service.name": "mail"})]))


ANSWERS = (
    [
        {
            "TraceId": TRACE,
            "SpanName": "op 1",
            "Duration": 2_000_000,
            "StatusMessage": "no",
            "said": "{peer.service=stock}",
            "events": "[exception, retry]",
        }
    ],
    [
        {"minute": MINUTE, "ServiceName": "cart", "requests": 2, "error_rate": 0.5, "p99_ms": 1.0},
        {"minute": MINUTE, "ServiceName": "mail", "requests": 1, "error_rate": 0.0, "p99_ms": 1.0},
        {
            "minute": MINUTE + timedelta(minutes=1),
            "ServiceName": "cart",
            "requests": 1,
            "error_rate": 0.0,
            "p99_ms": 3.0,
        },
    ],
    [
        {
            "SpanId": "0000000000000001",
            "ParentSpanId": "f" * 16,
            "ServiceName": "cart",
            "SpanName": "op 1",
            "SpanKind": "Client",
            "event": event,
            "message": message,
        }
        for event, message in (("exception", "refused"), ("retry", None))
    ],
)


@pytest.mark.parametrize("number", range(3))
def test_the_queries_of_the_page_answer_as_the_exporters_would(place: Place, number: int) -> None:
    """Of the last hour, which here ends half a minute after the first spans; each also as it is written."""
    _shop(place)
    place.rows(QUERIES[number])
    now = f"make_timestamp_ns({START_NS + MINUTE_NS // 2})"
    answer = place.rows(QUERIES[number].replace("now() AT TIME ZONE 'UTC'", now))
    assert [{name: value for name, value in row.items() if name != "Timestamp"} for row in answer] == ANSWERS[number]


def test_the_page_has_the_three_queries_in_both_dialects() -> None:
    """And no others."""
    assert len(QUERIES) == len(re.findall(r"```clickhouse\n", PAGE)) == 3
