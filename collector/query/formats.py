"""The forms of an answer: Arrow stream, JSON, CSV, Parquet."""

from __future__ import annotations

import io
from enum import Enum
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from collector.query.json_text import rows_as_json, timestamp_text, values_as_json

if TYPE_CHECKING:
    from collections.abc import Callable

_JSON_ROWS = 65_536  # rows turned into text at a time; bounds the memory beside the answer itself


class Form(Enum):
    """A form of an answer; the value is its media type."""

    ARROW = "application/vnd.apache.arrow.stream"
    JSON = "application/json"
    CSV = "text/csv"
    PARQUET = "application/vnd.apache.parquet"


def encode(table: pa.Table, form: Form) -> bytes:
    """Return the table in a form.

    JSON is a list of objects, see ``values_as_json``. CSV has a header and RFC 4180 quoting; nested values are JSON
    text, a null is empty and an empty string is ``""``. Arrow and Parquet keep the types, except those that Parquet
    lacks, which become text. Repeated column names get a number.
    """
    return _ENCODERS[form](table.rename_columns(unique_names(table.column_names)))


def choose_form(accept: str) -> Form | None:
    """Return the form an ``Accept`` header prefers, JSON when it does not care, None when it wants none of them."""
    wanted = sorted((_preference(item) for item in accept.split(",") if item.strip()), key=lambda item: -item[0])
    if not wanted:
        return Form.JSON
    for weight, media_type in wanted:
        forms: list[Form] = [form for form in (Form.JSON, *Form) if weight > 0 and _accepts(media_type, form)]
        if forms:
            return forms[0]
    return None


def _preference(item: str) -> tuple[float, str]:
    media_type, *parameters = (part.strip().lower() for part in item.split(";"))
    weights = [part.removeprefix("q=") for part in parameters if part.startswith("q=")]
    try:
        return float(weights[0]) if weights else 1.0, media_type
    except ValueError:
        return 1.0, media_type


def _accepts(media_type: str, form: Form) -> bool:
    kind = form.value.partition("/")[0]
    return media_type in (form.value, "*/*", f"{kind}/*")


def _arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def _json(table: pa.Table) -> bytes:
    parts = []
    for start in range(0, table.num_rows, _JSON_ROWS):
        rows = rows_as_json(table.slice(start, _JSON_ROWS).combine_chunks())
        whole = pa.LargeListArray.from_arrays(pa.array([0, len(rows)], pa.int64()), rows)
        parts.append(pc.binary_join(whole, pa.scalar(",\n", pa.large_string()))[0].as_buffer().to_pybytes())
    return b"[" + b",\n".join(parts) + b"]\n"


def _csv(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    flat = pa.table([_flat(column) for column in table.columns], names=table.column_names)
    pl.DataFrame(pl.from_arrow(flat)).write_csv(sink)
    return sink.getvalue()


def unique_names(names: list[str]) -> list[str]:
    """Return the names with ``_1``, ``_2`` … added to repeated ones, as DuckDB names repeated columns."""
    seen: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 0
        while candidate in seen:
            number += 1
            candidate = f"{name}_{number}"
        seen.add(candidate)
        result.append(candidate)
    return result


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column that CSV can hold: numbers, booleans and text."""
    return pa.chunked_array([flat_values(chunk) for chunk in column.chunks] or [flat_values(_empty(column.type))])


def _empty(kind: Any) -> pa.Array:
    return pa.array([], kind) if not isinstance(kind, pa.BaseExtensionType) else pa.nulls(0, kind)


def flat_values(array: pa.Array) -> pa.Array:
    """Return numbers, booleans and strings as they are, and everything else as text: JSON text, without its quotes."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        return flat_values(array.dictionary_decode())
    if pa.types.is_timestamp(kind):
        return timestamp_text(array)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or _is_text(kind):
        return array
    text = pc.if_else(array.is_valid(), values_as_json(array), pa.scalar(None, pa.large_string()))
    return pc.utf8_trim(text, '"') if not pa.types.is_nested(kind) else text


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    storable = pa.table([_storable(column) for column in table.columns], names=table.column_names)
    pq.write_table(storable, sink, compression="zstd")
    return sink.getvalue()


def _storable(column: pa.ChunkedArray) -> pa.ChunkedArray:
    is_strange = any(matches(column.type) for matches in _NOT_IN_PARQUET)
    return _flat(column) if is_strange else column


_NOT_IN_PARQUET = (pa.types.is_interval, pa.types.is_duration, pa.types.is_union)


_ENCODERS: dict[Form, Callable[[pa.Table], bytes]] = {
    Form.ARROW: _arrow,
    Form.JSON: _json,
    Form.CSV: _csv,
    Form.PARQUET: _parquet,
}
