"""Log records to the columns of ``collector.batch.LOGS``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from collector.batch import LOGS
from collector.decode import columns as to
from collector.decode import wire
from collector.decode.attributes import Ints, decode_attributes
from collector.decode.validate import SPAN_ID_BYTES, TRACE_ID_BYTES, Rejection, invalid_id, late, refuse
from collector.decode.values import LETTERS, text_and_type

if TYPE_CHECKING:
    from collector.decode.nesting import Records
    from collector.redaction import Redaction


def logs_table(records: Records, requests: int) -> tuple[pa.Table, list[Rejection]]:
    """Return the valid log records in request order, and a ``Rejection`` for each request."""
    kept, rejections = refuse(records, _problems(records.fields), requests)
    records = records if kept.all() else records.take(kept)
    fields = records.fields
    table = {
        "time": to.timestamps(fields["time_unix_nano"], zero_is_null=True),
        "observed_time": to.timestamps(fields["observed_time_unix_nano"], zero_is_null=True),
        "trace_id": to.trace_ids(fields["trace_id"]),
        "span_id": to.span_ids(fields["span_id"]),
        "severity_text": to.null_if_empty(fields["severity_text"]),
        "event_name": to.null_if_empty(fields["event_name"]),
        **{name: fields[name] for name in ("flags", "severity_number", "dropped_attributes_count")},
        **_body(fields["body"], records.redaction),
        **decode_attributes(fields["attributes"], records.redaction).columns(),
        **records.origin(),
    }
    return pa.table([table[field.name].cast(field.type) for field in LOGS], schema=LOGS), rejections


def _problems(fields: dict[str, pa.Array]) -> dict[str, Ints]:
    return {
        "trace_id must be 16 bytes or empty": invalid_id(fields["trace_id"], TRACE_ID_BYTES, optional=True),
        "span_id must be 8 bytes or empty": invalid_id(fields["span_id"], SPAN_ID_BYTES, optional=True),
        "time_unix_nano lies beyond the year 2262": late(fields["time_unix_nano"]),
        "observed_time_unix_nano lies beyond the year 2262": late(fields["observed_time_unix_nano"]),
    }


def _body(messages: pa.Array, redaction: Redaction | None) -> dict[str, pa.Array]:
    distinct = messages.dictionary_encode()
    decoded = wire.decode_any_values(distinct.dictionary)
    text, kinds = text_and_type(dict(zip(decoded.schema.names, decoded.columns, strict=True)))
    text = text if redaction is None else redaction.cut(text)
    letters = pa.array(LETTERS[kinds].tolist(), pa.string())
    return {"body": text.take(distinct.indices), "body_type": letters.take(distinct.indices)}
