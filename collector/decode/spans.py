"""Spans: nested records to the columns of ``collector.batch.SPANS`` and the well-known attributes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from collector.batch import SPANS
from collector.decode import columns as to
from collector.decode.attributes import Ints, decode_attributes
from collector.decode.nesting import Records, fields_of
from collector.decode.validate import SPAN_ID_BYTES, TRACE_ID_BYTES, Rejection, invalid_id, late, refuse
from collector.semconv import WELL_KNOWN

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUS_CODES = ("unset", "ok", "error")
SCHEMA = pa.schema([*SPANS, *(pa.field(known.column, known.dtype) for known in WELL_KNOWN)])


def spans_table(records: Records, requests: int) -> tuple[pa.Table, list[Rejection]]:
    """Return the valid spans, columns of ``SCHEMA`` in request order, and a ``Rejection`` for each request."""
    kept, rejections = refuse(records, _problems(records.fields), requests)
    records = records if kept.all() else records.take(kept)
    fields = records.fields
    attributes = decode_attributes(fields["attributes"], records.redaction)
    table = {
        **_identity(fields),
        **_timing(fields),
        **_status(fields),
        "span_name": fields["name"],
        "kind": to.enum_names(fields["kind"], KINDS),
        "events": to.events(fields["events"], records.redaction),
        "links": to.links(fields["links"], records.redaction),
        **{name: fields[name] for name in ("dropped_events_count", "dropped_links_count", "dropped_attributes_count")},
        **attributes.columns(),
        **attributes.well_known(),
        **records.origin(),
    }
    return pa.table([table[field.name].cast(field.type) for field in SCHEMA], schema=SCHEMA), rejections


def _problems(fields: dict[str, pa.Array]) -> dict[str, Ints]:
    return {
        "trace_id must be 16 bytes and not all zero": invalid_id(fields["trace_id"], TRACE_ID_BYTES),
        "span_id must be 8 bytes and not all zero": invalid_id(fields["span_id"], SPAN_ID_BYTES),
        "parent_span_id must be 8 bytes or empty": invalid_id(fields["parent_span_id"], SPAN_ID_BYTES, optional=True),
        "start_time_unix_nano lies beyond the year 2262": late(fields["start_time_unix_nano"]),
        "end_time_unix_nano lies beyond the year 2262": late(fields["end_time_unix_nano"]),
    }


def _identity(fields: dict[str, pa.Array]) -> dict[str, pa.Array]:
    return {
        "trace_id": to.trace_ids(fields["trace_id"]),
        "span_id": to.span_ids(fields["span_id"]),
        "parent_span_id": to.span_ids(fields["parent_span_id"]),
        "trace_state": to.null_if_empty(fields["trace_state"]),
        "flags": fields["flags"],
    }


def _timing(fields: dict[str, pa.Array]) -> dict[str, pa.Array]:
    start, end = (fields[name].to_numpy().view(np.int64) for name in ("start_time_unix_nano", "end_time_unix_nano"))
    return {
        "start_time": to.timestamps(fields["start_time_unix_nano"]),
        "duration_ns": pa.array(end - start, pa.int64()),  # negative when a span ends before it starts: kept as sent
    }


def _status(fields: dict[str, pa.Array]) -> dict[str, pa.Array]:
    status = fields_of(fields["status"])
    return {
        "status_code": to.enum_names(status["code"], STATUS_CODES),
        "status_message": to.null_if_empty(status["message"]),
    }
