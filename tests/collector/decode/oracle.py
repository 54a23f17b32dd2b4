"""What decoding must yield, in plain Python over the protobuf classes, and Arrow tables in the same form."""

from __future__ import annotations

import base64
import json
import math
from collections import Counter
from typing import Any

import pyarrow as pa

from collector.decode.decoder import Decoder
from collector.decode.validate import Rejection
from collector.semconv import WELL_KNOWN
from collector.signals import Signal

Row = dict[str, Any]

LAST_UNIX_NANO = 2**63 - 2
LETTER = {
    None: "-",
    "string_value": "s",
    "bool_value": "b",
    "int_value": "i",
    "double_value": "d",
    "bytes_value": "x",
    "array_value": "a",
    "kvlist_value": "m",
}
KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"]
STATUS_CODES = ["unset", "ok", "error"]
TEMPORALITIES = ["unspecified", "delta", "cumulative"]


# -- values and attributes ------------------------------------------------------------------------------------------


def value_of(any_value: Any) -> tuple[str, Any]:
    """The type letter and the content of an ``AnyValue``; arrays and maps as what their JSON text parses to."""
    kind = any_value.WhichOneof("value")
    letter = LETTER[kind]
    if letter in "am":
        return letter, _json_value(any_value)
    if letter == "d":
        return letter, repr(any_value.double_value)
    return letter, _text(letter, kind, any_value)


def _text(letter: str, kind: str | None, any_value: Any) -> str | None:
    if kind is None:
        return None
    content = getattr(any_value, kind)
    if letter == "x":
        return base64.b64encode(content).decode()
    return str(content).lower() if letter == "b" else str(content)


def _json_value(any_value: Any) -> Any:
    kind = any_value.WhichOneof("value")
    if kind is None:
        return None
    content = getattr(any_value, kind)
    if kind == "array_value":
        return [_json_value(item) for item in content.values]
    if kind == "kvlist_value":
        return {item.key: _json_value(item.value) for item in content.values}
    if kind == "double_value" and not math.isfinite(content):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(content, "NaN")
    return base64.b64encode(content).decode() if kind == "bytes_value" else content


def attributes_of(pairs: Any) -> dict[str, tuple[str, Any]]:
    """Key to letter and content; of a key that is repeated the last counts, at its own place."""
    attributes: dict[str, tuple[str, Any]] = {}
    for pair in pairs:
        attributes.pop(pair.key, None)
        attributes[pair.key] = value_of(pair.value)
    return attributes


def typed(keys: list[str], values: list[str | None], letters: str) -> dict[str, tuple[str, Any]]:
    """Attributes as decoded, in the form of ``attributes_of``."""
    assert len(keys) == len(values) == len(letters)
    assert len(set(keys)) == len(keys)
    return {key: (letter, parsed(value, letter)) for key, value, letter in zip(keys, values, letters, strict=True)}


def parsed(text: str | None, letter: str) -> Any:
    """The text of a value in a form that does not depend on how numbers and JSON are written."""
    if text is None:
        return None
    if letter in "am":
        return json.loads(text, parse_constant=_not_json)
    return repr(float(text)) if letter == "d" else text


def _not_json(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def well_known(texts: dict[str, str | None]) -> Row:
    """The columns of well-known attributes: the newest name that is there wins."""
    row: Row = {}
    for known in WELL_KNOWN:
        text = first(texts, *known.keys)
        row[known.column] = text if known.dtype == pa.string() else _small_integer(text)
    return row


def first(texts: dict[str, str | None], *keys: str) -> str | None:
    """The value of the first key that is there."""
    return next((texts[key] for key in keys if key in texts), None)


def _small_integer(text: str | None) -> int | None:
    digits = (text or "").removeprefix("-")
    fits = digits.isascii() and digits.isdigit() and len(digits) <= 9
    return int(text or "") if fits else None


# -- where records come from ----------------------------------------------------------------------------------------


def resource_of(level: Any) -> Row:
    """A resource's row, without its digest."""
    resource = level.resource
    return {
        "attributes": attributes_of(resource.attributes),
        "dropped_attributes_count": resource.dropped_attributes_count,
        "entity_refs": [_entity(entity) for entity in resource.entity_refs],
        "schema_url": level.schema_url or None,
    }


def _entity(entity: Any) -> Row:
    lists = {name: list(getattr(entity, name)) for name in ("id_keys", "description_keys")}
    return {"schema_url": entity.schema_url, "type": entity.type, **lists}


def scope_of(level: Any) -> Row:
    """A scope's row, without its digest."""
    return {
        "name": level.scope.name,
        "version": level.scope.version or None,
        "attributes": attributes_of(level.scope.attributes),
        "dropped_attributes_count": level.scope.dropped_attributes_count,
        "schema_url": level.schema_url or None,
    }


# -- Arrow tables as plain rows -------------------------------------------------------------------------------------


def plain_type(dtype: pa.DataType) -> pa.DataType:
    """The type with timestamps as integers and dictionaries as their values: what ``to_pylist`` can give."""
    if pa.types.is_timestamp(dtype):
        return pa.int64()
    if pa.types.is_dictionary(dtype):
        return dtype.value_type
    if pa.types.is_map(dtype):
        return dtype
    if pa.types.is_list(dtype):
        return pa.list_(plain_type(dtype.value_type))
    if pa.types.is_struct(dtype):
        return pa.struct([pa.field(field.name, plain_type(field.type)) for field in dtype])
    return pa.binary(16) if dtype == pa.uuid() else dtype


def plain_rows(table: pa.Table) -> list[Row]:
    """Rows of a table with times as nanoseconds and trace ids as bytes."""
    table.validate(full=True)
    columns = {name: table.column(name).cast(plain_type(table.schema.field(name).type)) for name in table.column_names}
    return list(pa.table(columns).to_pylist())


def decoded_rows(signal: Signal, bodies: list[bytes]) -> tuple[list[Row], list[Rejection]]:
    """Decode bodies and return rows with resource, scope and attributes in the oracle's form."""
    decoded = Decoder().decode(signal, bodies)
    batch = decoded.batch
    resources = {row.pop("digest"): _origin(row) for row in plain_rows(batch.resources)}
    scopes = {row.pop("digest"): _origin(row) for row in plain_rows(batch.scopes)}
    assert len(resources) == batch.resources.num_rows
    assert len(scopes) == batch.scopes.num_rows
    tables = {Signal.TRACES: batch.spans, Signal.LOGS: batch.logs, Signal.METRICS: batch.metrics}
    table = tables.pop(signal)
    assert all(other.num_rows == 0 for other in tables.values())
    rows = plain_rows(table)
    for row in rows:
        keys, texts = json.loads(row.pop("attribute_keys")), row.pop("attribute_values")
        _check_derived(row, well_known(dict(zip(keys, texts, strict=True))) if signal is Signal.TRACES else {})
        row["attributes"] = typed(keys, texts, row.pop("attribute_types"))
        row |= {"resource": resources[row["resource"]], "scope": scopes[row["scope"]]}
        for nested in (*(row.get("events") or ()), *(row.get("links") or ()), *(row.get("exemplars") or ())):
            _type_map(nested)
    return rows, decoded.rejections


def _check_derived(row: Row, expected: Row) -> None:
    """Columns that repeat an attribute are compared with it and taken away: the oracle knows the attribute alone."""
    assert {column: row.pop(column) for column in expected} == expected


def _type_map(row: Row) -> None:
    pairs = row["attributes"]
    row["attributes"] = typed([key for key, _ in pairs], [text for _, text in pairs], row.pop("attribute_types"))


def _origin(row: Row) -> Row:
    if "entity_refs" in row:
        texts = dict(row["attributes"])
        row["entity_refs"] = json.loads(row["entity_refs"] or "[]")
        named = {
            "environment": first(texts, "deployment.environment.name", "deployment.environment"),
            "service_name": first(texts, "service.name") or "unknown_service",
            "service_namespace": first(texts, "service.namespace"),
            "service_version": first(texts, "service.version"),
            "service_instance_id": first(texts, "service.instance.id"),
        }
        _check_derived(row, named)
    _type_map(row)
    return row


# -- records --------------------------------------------------------------------------------------------------------


def nanoseconds(time: int) -> int | None:
    """A time inside a nested record: null where no timestamp can hold it."""
    return time if time <= LAST_UNIX_NANO else None


def name_of(number: int, names: list[str]) -> str:
    """The name of an enum's number."""
    return names[number] if 0 <= number < len(names) else names[0]


def optional_id(raw: bytes) -> int | None:
    """A span id as a number, or None for one that is absent or zero."""
    return int.from_bytes(raw) or None


def problem_of(record: Any, *, ids_needed: bool) -> str | None:
    """Why a receiver must refuse a span or log record, if it must."""
    for name, size, needed in (("trace_id", 16, ids_needed), ("span_id", 8, ids_needed), ("parent_span_id", 8, False)):
        raw = getattr(record, name, b"")
        if needed and (len(raw) != size or not any(raw)):
            return f"{name} must be {size} bytes and not all zero"
        if not needed and len(raw) not in {0, size}:
            return f"{name} must be {size} bytes or empty"
    return late_time_of(record)


def late_time_of(record: Any) -> str | None:
    """Which of a record's times no timestamp can hold."""
    names = [field.name for field in record.DESCRIPTOR.fields if field.name.endswith("time_unix_nano")]
    order = ["time_unix_nano", "start_time_unix_nano", "end_time_unix_nano", "observed_time_unix_nano"]
    for name in sorted(names, key=order.index):
        if getattr(record, name) > LAST_UNIX_NANO:
            return f"{name} lies beyond the year 2262"
    return None


def rejection_of(problems: list[str], order: list[str]) -> Rejection:
    """The answer to a request of which these records were refused; ``order`` is the order of reasons."""
    if not problems:
        return Rejection()
    counts = Counter(problems)
    reasons = "; ".join(f"{counts[reason]}: {reason}" for reason in order if counts[reason])
    return Rejection(len(problems), f"Refused {len(problems)} and kept the rest ({reasons}).")
