"""The JSON of one trace, from its rows of the ``spans`` view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

if TYPE_CHECKING:
    import pyarrow as pa

    from collector.analysis import Analysis

_COLUMNS = {
    "span_id": "span_id",
    "parent_span_id": "parent_span_id",
    "service_name": "service",
    "span_name": "name",
    "kind": "kind",
    "status_code": "status",
    "status_message": "status_message",
    "http_status_code": "http_status_code",
    "start_unix_nano": "start_unix_nano",
    "duration_ns": "duration_ns",
}
_NOT_ANALYSED = {"self_time_ns": None, "critical_path_ns": None}


def trace_json(trace_id: str, rows: pa.Table, analysis: Analysis | None = None) -> dict[str, Any]:
    """Return the ``trace`` object of the contract, spans in the order of the rows.

    Each span also has ``status_message``, ``http_status_code``, ``event_count`` and ``exceptions``: ``type`` and
    ``message`` of each.
    Without an analysis its times are null and ``critical_path`` is empty.
    """
    renamed = rows.select(list(_COLUMNS)).rename_columns(list(_COLUMNS.values()))
    events = pc.fill_null(pc.list_value_length(rows.column("events")), 0)
    counted = renamed.append_column("event_count", events).to_pylist()
    exceptions = _exceptions(rows.column("events"), events)
    spans = [span | {"exceptions": exceptions.get(row, [])} for row, span in enumerate(counted)]
    trace = {
        "trace_id": trace_id.lower(),
        "complete": is_complete(spans),
        "skew_adjusted": False,
        "spans": [span | _NOT_ANALYSED for span in spans],
        "critical_path": [],
    }
    return trace if analysis is None else analysis.trace(trace, rows)


def _exceptions(events: pa.ChunkedArray, counts: pa.ChunkedArray) -> dict[int, list[dict[str, str | None]]]:
    """By row what the events of the span named ``exception`` say; Python sees the events of no other spans."""
    rows = pc.indices_nonzero(counts)
    found = {
        row: [_exception(dict(event["attributes"] or ())) for event in said if event["name"] == "exception"]
        for row, said in zip(rows.to_pylist(), events.take(rows).to_pylist(), strict=True)
    }
    return {row: said for row, said in found.items() if said}


def _exception(attributes: dict[str, str | None]) -> dict[str, str | None]:
    return {name: attributes.get(f"exception.{name}") for name in ("type", "message")}


def is_complete(spans: list[dict[str, Any]]) -> bool:
    """Return whether there is one root and every other span's parent is there."""
    ids = {span["span_id"] for span in spans}
    parents = [span["parent_span_id"] for span in spans]
    return parents.count(None) == 1 and all(parent in ids for parent in parents if parent is not None)
