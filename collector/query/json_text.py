"""Arrow columns as JSON text, one string a row, without a Python object a value.

``to_pylist`` and ``json.dumps`` are ten times slower for rows of the ``spans`` view, and refuse nanoseconds.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ESCAPED = r'["\\\x00-\x1f]'
_RARE = r"[\x00-\x08\x0b\x0c\x0e-\x1f]"
_FREQUENT = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))
_NULL = pa.scalar("null", pa.large_string())


def rows_as_json(table: pa.Table) -> pa.Array:
    """Return each row as the text of a JSON object; keys are the column names, in order."""
    columns = [_column(table.column(index)) for index in range(table.num_columns)]
    return _objects(table.column_names, columns, table.num_rows)


def _column(column: pa.ChunkedArray) -> pa.Array:
    chunks = [values_as_json(chunk) for chunk in column.chunks]
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.large_string())


def values_as_json(array: pa.Array) -> pa.Array:
    """Return the JSON text of each value, ``null`` for nulls.

    MAP and STRUCT are objects; integers and decimals keep all digits; NaN and infinities are ``null``; timestamps are
    RFC 3339 strings with nine decimals in UTC; intervals are ISO 8601; bytes are hex; whatever else is a string.
    """
    return pc.fill_null(_writer(array.type)(array), _NULL)


def _writer(kind: Any) -> Callable[[pa.Array], pa.Array]:
    for matches, writer in _WRITERS:
        if matches(kind):
            return writer
    return _other


def _objects(names: Sequence[str], columns: Sequence[pa.Array], length: int) -> pa.Array:
    """Objects from columns of JSON text."""
    if not columns:
        return pa.array(["{}"] * length, pa.large_string())
    parts: list[Any] = []
    for index, (name, column) in enumerate(zip(names, columns, strict=True)):
        parts += [_scalar(("," if index else "{") + json.dumps(name, ensure_ascii=False) + ":"), column]
    return pc.binary_join_element_wise(*parts, _scalar("}"), _scalar(""))


def _scalar(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def _wrapped(start: str, middle: pa.Array, end: str) -> pa.Array:
    return pc.binary_join_element_wise(_scalar(start), middle, _scalar(end), _scalar(""))


def _text(array: pa.Array) -> pa.Array:
    return pc.cast(array, pa.large_string())


def _float(array: pa.Array) -> pa.Array:
    return _text(pc.if_else(pc.is_finite(array), array, None))


def _quoted_text(array: pa.Array) -> pa.Array:
    return _wrapped('"', _text(array), '"')


def _string(array: pa.Array) -> pa.Array:
    text = _text(array)
    if pc.any(pc.match_substring_regex(text, _RARE)).as_py():
        return pa.array([None if one is None else json.dumps(one) for one in text.to_pylist()], pa.large_string())
    if pc.any(pc.match_substring_regex(text, _ESCAPED)).as_py():
        for plain, escaped in _FREQUENT:
            text = pc.replace_substring(text, plain, escaped)
    return _wrapped('"', text, '"')


def timestamp_text(array: pa.Array) -> pa.Array:
    """Return timestamps as RFC 3339 in UTC with nine decimals; one without a zone is UTC already.

    A time that nanoseconds cannot express (before 1678, after 2262) keeps its own precision.
    """
    try:
        array = array.cast(pa.timestamp("ns", array.type.tz))
    except pa.ArrowInvalid:
        array = array.cast(pa.timestamp(array.type.unit, array.type.tz))
    text = _text(array.cast(pa.timestamp(array.type.unit)))
    return pc.binary_join_element_wise(
        pc.replace_substring(text, " ", "T", max_replacements=1), _scalar("Z"), _scalar("")
    )


def _timestamp(array: pa.Array) -> pa.Array:
    return _wrapped('"', timestamp_text(array), '"')


def _list(array: pa.Array) -> pa.Array:
    return _joined(array, values_as_json(array.flatten()), "[", "]")


def _fixed_list(array: pa.Array) -> pa.Array:
    return _list(array.cast(pa.list_(array.type.value_type)))


def _map(array: pa.Array) -> pa.Array:
    kind = pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])
    entries = array.cast(pa.list_(kind))
    keys, values = entries.flatten().flatten()
    pairs = pc.binary_join_element_wise(_string(_text(keys)), values_as_json(values), _scalar(":"))
    return _joined(entries, pairs, "{", "}")


def _joined(array: pa.Array, items: pa.Array, start: str, end: str) -> pa.Array:
    """Join the texts of a list's items per list; ``flatten`` has left the items of null lists out."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64())
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), pc.cumulative_sum(lengths)])
    joined = pc.binary_join(pa.LargeListArray.from_arrays(offsets, items), _scalar(","))
    return _wrapped(start, pc.if_else(array.is_valid(), joined, pa.scalar(None, pa.large_string())), end)


def _struct(array: pa.Array) -> pa.Array:
    names = [field.name for field in array.type]
    texts = _objects(names, [values_as_json(column) for column in array.flatten()], len(array))
    return pc.if_else(array.is_valid(), texts, pa.scalar(None, pa.large_string()))


def _dictionary(array: pa.Array) -> pa.Array:
    return _writer(array.type.value_type)(array.dictionary_decode())


def _extension(array: pa.Array) -> pa.Array:
    if isinstance(array.type, pa.UuidType):
        return _other(array)
    return _writer(array.type.storage_type)(array.storage)


def _bytes(array: pa.Array) -> pa.Array:
    return pa.array([None if one is None else f'"{one.hex()}"' for one in array.to_pylist()], pa.large_string())


def _interval(array: pa.Array) -> pa.Array:
    return pa.array([None if one is None else f'"{_iso_8601(one)}"' for one in array.to_pylist()], pa.large_string())


def _iso_8601(interval: Any) -> str:
    sign = "-" if interval.nanoseconds < 0 else ""
    seconds, nanoseconds = divmod(abs(interval.nanoseconds), 1_000_000_000)
    return f"P{interval.months}M{interval.days}DT{sign}{seconds}.{nanoseconds:09d}S"


def _other(array: pa.Array) -> pa.Array:
    return pa.array(
        [None if one is None else json.dumps(str(one), ensure_ascii=False) for one in array.to_pylist()],
        pa.large_string(),
    )


def _null(array: pa.Array) -> pa.Array:
    return pa.nulls(len(array), pa.large_string())


_types = pa.types
_WRITERS: tuple[tuple[Callable[[Any], bool], Callable[[pa.Array], pa.Array]], ...] = (
    (lambda kind: isinstance(kind, pa.BaseExtensionType), _extension),
    (_types.is_null, _null),
    (_types.is_boolean, _text),
    (_types.is_integer, _text),
    (_types.is_decimal, _text),
    (_types.is_floating, _float),
    (_types.is_string, _string),
    (_types.is_large_string, _string),
    (_types.is_timestamp, _timestamp),
    (_types.is_date, _quoted_text),
    (_types.is_time, _quoted_text),
    (_types.is_map, _map),
    (_types.is_list, _list),
    (_types.is_large_list, _list),
    (_types.is_fixed_size_list, _fixed_list),
    (_types.is_struct, _struct),
    (_types.is_interval, _interval),
    (_types.is_dictionary, _dictionary),
    (_types.is_binary, _bytes),
    (_types.is_large_binary, _bytes),
)
