"""The SQL expression that builds a batch's attribute maps.

DuckDB checks every map it builds, or reads from Arrow, for repeated keys, one boxed value at a time: 2.8 µs a span of
ten attributes, more than everything else about the insert. A cast from STRUCT needs no such check, since a struct's
fields are distinct, and costs 0.3 µs. So each list of keys that is frequent in the batch becomes a struct literal.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

_FREQUENT_ROWS = 256  # below this, planning another branch costs more than it saves
_MOST_BRANCHES = 64
_MOST_KEYS = 128

_CHECKED = "map(from_json(i.attribute_keys, '[\"VARCHAR\"]'), i.attribute_values)"


@dataclass(frozen=True, slots=True)
class Shaped:
    """A table whose ``shape`` column numbers its lists of keys, and the expression for its ``attributes``."""

    table: pa.Table
    attributes: str


def shape_attributes(table: pa.Table) -> Shaped:
    """Return the table with ``shape`` added, an index into the distinct values of ``attribute_keys``."""
    keys = table.column("attribute_keys").unify_dictionaries()
    indices = pa.chunked_array([chunk.indices for chunk in keys.chunks], pa.int32())
    shaped = table.append_column("shape", indices)
    lists = keys.chunk(0).dictionary.to_pylist() if keys.num_chunks else []
    return Shaped(shaped, _expression(indices.to_numpy(), [tuple(json.loads(text)) for text in lists]))


def _expression(shape: np.ndarray[tuple[int], np.dtype[np.int32]], key_lists: list[tuple[str, ...]]) -> str:
    counts = np.bincount(shape, minlength=len(key_lists))
    frequent = [
        index
        for index in np.argsort(-counts)[:_MOST_BRANCHES].tolist()
        if counts[index] >= _FREQUENT_ROWS and _fits_struct(key_lists[index])
    ]
    if not frequent:
        return _CHECKED
    branches = " ".join(f"WHEN {index} THEN {_literal(key_lists[index])}" for index in frequent)
    return f"CASE i.shape {branches} ELSE {_CHECKED} END"


def _fits_struct(keys: tuple[str, ...]) -> bool:
    """A struct wants named fields that differ by more than case; the parser of DuckDB 1.5 stops at a NUL."""
    named = all(key and "\0" not in key for key in keys)
    return named and len(keys) <= _MOST_KEYS and len({key.casefold() for key in keys}) == len(keys)


def _literal(keys: tuple[str, ...]) -> str:
    if not keys:
        return "MAP {}::MAP(VARCHAR, VARCHAR)"
    fields = ", ".join(f"{_quote(key)}: i.attribute_values[{place}]" for place, key in enumerate(keys, start=1))
    return f"{{{fields}}}::MAP(VARCHAR, VARCHAR)"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
