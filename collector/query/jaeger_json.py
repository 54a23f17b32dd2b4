"""Traces in Jaeger's JSON, from their rows of the ``spans`` view; times are whole microseconds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import pyarrow as pa

_US = 1000
_MOST_EXACT = 2**53
"""JavaScript's numbers hold whole numbers up to here; larger ones go as text, as Jaeger sends them."""
_STATUS = {"ok": "OK", "error": "ERROR"}
_SCOPE = {"scope_name": "otel.scope.name", "scope_version": "otel.scope.version", "trace_state": "w3c.tracestate"}


def jaeger_traces(rows: pa.Table) -> list[dict[str, Any]]:
    """Return Jaeger's trace objects, traces and their spans in the order of the rows.

    ``rows`` are those of the statement ``jaeger_spans``. A span's parent is first among its references, links follow.
    """
    traces: dict[str, dict[str, Any]] = {}
    for row in rows.to_pylist():
        trace_id = row["trace_id"]
        trace = traces.setdefault(trace_id, {"traceID": trace_id, "spans": [], "processes": {}, "warnings": None})
        process = f"p{row['resource_id']}"
        trace["processes"].setdefault(process, _process(row))
        trace["spans"].append(_span(row, process))
    return list(traces.values())


def _process(row: Mapping[str, Any]) -> dict[str, Any]:
    tags = [(key, value) for key, value in row["resource_attributes"] or () if key != "service.name"]
    return {"serviceName": row["service_name"], "tags": [_tag(key, value, "s") for key, value in tags]}


def _span(row: Mapping[str, Any], process: str) -> dict[str, Any]:
    return {
        "traceID": row["trace_id"],
        "spanID": row["span_id"],
        "flags": row["flags"] & 0xFF,
        "operationName": row["span_name"],
        "references": _references(row),
        "startTime": row["start_unix_nano"] // _US,
        "duration": row["duration_ns"] // _US,
        "tags": _tags(row["attributes"], row["attribute_types"]) + _of_the_span(row),
        "logs": [_log(event) for event in row["events"] or ()],
        "processID": process,
        "warnings": None,
    }


def _references(row: Mapping[str, Any]) -> list[dict[str, str]]:
    parent = [("CHILD_OF", row["trace_id"], row["parent_span_id"])] if row["parent_span_id"] else []
    links = [("FOLLOWS_FROM", link["trace_id"], link["span_id"]) for link in row["links"] or ()]
    return [{"refType": kind, "traceID": trace, "spanID": span} for kind, trace, span in parent + links]


def _of_the_span(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tags that Jaeger makes of what OpenTelemetry has beside attributes."""
    tags = [] if row["kind"] == "unspecified" else [_tag("span.kind", row["kind"], "s")]
    if row["status_code"] in _STATUS:
        tags.append(_tag("otel.status_code", _STATUS[row["status_code"]], "s"))
    if row["status_code"] == "error":
        tags.append(_tag("error", "true", "b"))
    if row["status_message"]:
        tags.append(_tag("otel.status_description", row["status_message"], "s"))
    return tags + [_tag(name, row[column], "s") for column, name in _SCOPE.items() if row[column]]


def _log(event: Mapping[str, Any]) -> dict[str, Any]:
    fields = [_tag("event", event["name"], "s")] if event["name"] else []
    fields += _tags(event["attributes"], event["attribute_types"])
    return {"timestamp": event["unix_nano"] // _US, "fields": fields}


def _tags(attributes: Iterable[tuple[str, str | None]] | None, letters: str | None) -> list[dict[str, Any]]:
    """``letters`` are the types of the attributes as ``collector.decode.values`` names them."""
    entries = list(attributes or ())
    known = (letters or "").ljust(len(entries), "s")
    return [_tag(key, value, letter) for (key, value), letter in zip(entries, known, strict=True)]


def _tag(key: str, value: str | None, letter: str) -> dict[str, Any]:
    kind, parse = _TYPES.get(letter, _TEXT)
    return {"key": key, "type": kind, "value": parse(value or "")}


def _integer(text: str) -> int | str:
    number = int(text)
    return number if abs(number) <= _MOST_EXACT else text


def _number(text: str) -> float | str:
    """JSON has no number for what is not finite."""
    number = float(text)
    return number if math.isfinite(number) else text


_TEXT: tuple[str, Callable[[str], Any]] = ("string", str)
_TYPES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "b": ("bool", lambda text: text == "true"),
    "i": ("int64", _integer),
    "d": ("float64", _number),
    "x": ("binary", str),
}
