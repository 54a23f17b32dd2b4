"""Small vectorised conversions that all three signals need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.batch import EVENT, EXEMPLAR, LINK
from collector.decode.attributes import Attributes, decode_attributes
from collector.decode.nesting import fields_of
from collector.decode.validate import SPAN_ID_BYTES, TRACE_ID_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.redaction import Redaction

_TIMESTAMP = pa.timestamp("ns")


def _fixed_bytes(ids: pa.Array, size: int) -> tuple[Any, Any]:
    """A row of ``size`` bytes an id, zeros where it is absent, and the mask of those that are."""
    absent = pc.binary_length(ids).to_numpy() != size
    content = np.zeros((len(ids), size), np.uint8)
    if not absent.all():
        offsets = np.frombuffer(ids.buffers()[1], np.int32)[ids.offset : ids.offset + len(ids) + 1]
        content[~absent] = np.frombuffer(ids.buffers()[2], np.uint8)[offsets[0] : offsets[-1]].reshape(-1, size)
    return content, absent


def trace_ids(ids: pa.Array) -> pa.Array:
    """Return ids of 16 bytes as UUIDs, null where absent or all zero; any other length must be gone before."""
    content, _ = _fixed_bytes(ids, TRACE_ID_BYTES)
    zero = ~content.any(axis=1)
    valid = pa.array(~zero).buffers()[1] if zero.any() else None
    storage = pa.FixedSizeBinaryArray.from_buffers(pa.binary(TRACE_ID_BYTES), len(ids), [valid, pa.py_buffer(content)])
    return pa.ExtensionArray.from_storage(pa.uuid(), storage)


def span_ids(ids: pa.Array) -> pa.Array:
    """Return ids of 8 bytes as unsigned integers, null where absent or all zero."""
    content, _ = _fixed_bytes(ids, SPAN_ID_BYTES)
    number = content.view(">u8").ravel().astype(np.uint64)
    return pa.array(number, pa.uint64(), mask=number == 0)


def hex_text(ids: pa.Array) -> pa.Array:
    """Return ids of any length as lowercase hex, for places where they are few."""
    return pa.array([raw.hex() for raw in ids.to_pylist()], pa.string())


def timestamps(unix_nano: pa.Array, *, zero_is_null: bool = False) -> pa.Array:
    """Return unsigned nanoseconds as timestamps; values that do not fit must be gone before."""
    signed = unix_nano.to_numpy().view(np.int64)
    return pa.array(signed, pa.int64(), mask=(signed == 0) if zero_is_null else None).view(_TIMESTAMP)


def null_if_empty(text: pa.Array) -> pa.Array:
    """Return strings with null for the empty one: protobuf has no other way to say absent."""
    empty = pc.equal(text, "")
    if pc.all(empty).as_py():
        return pa.nulls(len(text), text.type)
    return pc.if_else(empty, pa.scalar(None, text.type), text)


def enum_names(numbers: pa.Array, names: Sequence[str]) -> pa.Array:
    """Return enum numbers as names; the first name stands for numbers that the list does not know."""
    codes = numbers.fill_null(0).to_numpy(zero_copy_only=False)
    known = np.where((codes >= 0) & (codes < len(names)), codes, 0).astype(np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(known), pa.array(list(names), pa.string()))


def _nested(lists: pa.ListArray, dtype: pa.StructType, columns: dict[str, pa.Array], decoded: Attributes) -> pa.Array:
    """A list of structs with the offsets of ``lists`` and its attributes rendered as maps."""
    columns |= {"attributes": decoded.maps(), "attribute_types": decoded.types()}
    struct = pa.StructArray.from_arrays([columns[field.name].cast(field.type) for field in dtype], fields=list(dtype))
    offsets = lists.offsets.to_numpy()
    return pa.ListArray.from_arrays(pa.array(offsets - offsets[0]), struct)


def _empty_lists(rows: int, dtype: pa.DataType) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.zeros(rows + 1, np.int32)), pa.array([], dtype))


def _safe_times(unix_nano: pa.Array) -> pa.Array:
    """Times inside a nested record, null where no timestamp can hold them: the record itself is still good."""
    times = unix_nano.to_numpy()
    return pa.array(times.view(np.int64), pa.int64(), mask=times > np.iinfo(np.int64).max - 1).view(_TIMESTAMP)


def events(lists: pa.ListArray, redaction: Redaction | None = None) -> pa.Array:
    """Return span events as lists of ``collector.batch.EVENT``."""
    fields = fields_of(lists.flatten())
    if not len(fields["name"]):
        return _empty_lists(len(lists), EVENT)
    fields["time"] = _safe_times(fields.pop("time_unix_nano"))
    return _nested(lists, EVENT, fields, decode_attributes(fields.pop("attributes"), redaction))


def links(lists: pa.ListArray, redaction: Redaction | None = None) -> pa.Array:
    """Return span links as lists of ``collector.batch.LINK``; ids as hex text, whatever their length."""
    fields = fields_of(lists.flatten())
    if not len(fields["flags"]):
        return _empty_lists(len(lists), LINK)
    fields |= {"trace_id": hex_text(fields["trace_id"]), "span_id": hex_text(fields["span_id"])}
    fields["trace_state"] = null_if_empty(fields["trace_state"])
    return _nested(lists, LINK, fields, decode_attributes(fields.pop("attributes"), redaction))


def exemplars(lists: pa.ListArray, redaction: Redaction | None = None) -> pa.Array:
    """Return metric exemplars as lists of ``collector.batch.EXEMPLAR``."""
    fields = fields_of(lists.flatten())
    if not len(fields["span_id"]):
        return _empty_lists(len(lists), EXEMPLAR)
    fields |= {
        "time": _safe_times(fields.pop("time_unix_nano")),
        "trace_id": null_if_empty(hex_text(fields["trace_id"])),
        "span_id": null_if_empty(hex_text(fields["span_id"])),
        "value": fields.pop("as_double"),
        "value_int": fields.pop("as_int"),
    }
    return _nested(lists, EXEMPLAR, fields, decode_attributes(fields.pop("filtered_attributes"), redaction))
