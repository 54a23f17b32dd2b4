"""``AnyValue`` to text and a letter that names its type, so that text loses nothing.

Letters: s string, b boolean, i integer, d double, x bytes (base64), a array and m map (JSON text), - no value.
"""

from __future__ import annotations

import base64
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1 import common_pb2

from collector.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

LETTERS = np.array(list("-sbidxam"))
STRING = 1
_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}  # JSON has no such numbers; protobuf's JSON writes these


def _plain(value: Any) -> Any:
    """One ``AnyValue`` as what ``json.dumps`` takes."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    content = getattr(value, kind)
    if kind == "array_value":
        return [_plain(item) for item in content.values]
    if kind == "kvlist_value":
        return {item.key: _plain(item.value) for item in content.values}
    if kind == "double_value" and not math.isfinite(content):
        return _NOT_FINITE.get(content, "NaN")
    return base64.b64encode(content).decode() if kind == "bytes_value" else content


def _nested_text(column: pa.Array, field: str, message: Any) -> list[str | None]:
    """JSON text of arrays or maps: one Python object each, which only values nested inside attributes pay."""
    return [None if raw is None else _json_text(raw, field, message) for raw in column.to_pylist()]


def _json_text(raw: bytes, field: str, message: Any) -> str:
    try:
        value = common_pb2.AnyValue(**{field: message.FromString(raw)})
    except DecodeError as error:
        raise InvalidRequestError(f"An attribute's {field} is malformed or nested too deeply ({error}).") from error
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))


def _bytes_text(column: pa.Array) -> list[str | None]:
    return [None if raw is None else base64.b64encode(raw).decode() for raw in column.to_pylist()]


_TEXT_OF: tuple[tuple[str, Callable[[pa.Array], Any]], ...] = (
    ("bool_value", lambda column: column.cast(pa.string())),
    ("int_value", lambda column: column.cast(pa.string())),
    ("double_value", lambda column: column.cast(pa.string())),
    ("bytes_value", _bytes_text),
    ("array_value", lambda column: _nested_text(column, "array_value", common_pb2.ArrayValue)),
    ("kvlist_value", lambda column: _nested_text(column, "kvlist_value", common_pb2.KeyValueList)),
)


def text_and_type(fields: dict[str, pa.Array]) -> tuple[pa.Array, np.ndarray[Any, np.dtype[np.uint8]]]:
    """Return the text of each value (null where there is none) and the index of its type in ``LETTERS``.

    ``fields`` are the columns of decoded ``AnyValue`` messages. A kind that does not occur costs nothing.
    """
    text = fields["string_value"]
    kinds = pc.is_valid(text).to_numpy(zero_copy_only=False).astype(np.uint8) * STRING
    for index, (name, render) in enumerate(_TEXT_OF, start=STRING + 1):
        column = fields[name]
        if column.null_count == len(column):
            continue
        # Of several values in one AnyValue, which no serializer writes, text and letter are the same one's.
        kinds[pc.and_(pc.is_valid(column), pc.is_null(text)).to_numpy(zero_copy_only=False)] = index
        text = pc.coalesce(text, pa.array(render(column), pa.string()))
    return text, kinds
