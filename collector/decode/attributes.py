"""Attribute lists to columns, all rows at once.

The unit is the distinct ``KeyValue``: each is decoded once, and a row is a list of codes into the distinct ones. The
sequence of keys in a row, its *shape*, takes few values whatever the number of spans, so keys are written per shape.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.decode import wire
from collector.decode.values import LETTERS, STRING, text_and_type
from collector.semconv import WELL_KNOWN

if TYPE_CHECKING:
    from collector.redaction import Redaction

Ints: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_RANDOM = np.random.default_rng()


@dataclass(frozen=True, slots=True)
class Attributes:
    """Attributes of ``len(offsets) - 1`` rows; row r's entries are ``codes[offsets[r]:offsets[r + 1]]``.

    A code indexes ``text`` and ``kinds`` (the distinct values) and ``key_of``, whose entries index ``keys`` (distinct).
    ``shape`` is each row's index into ``shapes``, tuples of entry codes' keys and type letters.
    """

    offsets: Ints
    codes: Ints
    key_of: Ints
    keys: list[str]
    text: pa.Array
    kinds: Ints
    shape: Ints
    shapes: list[tuple[tuple[str, ...], str]]

    def columns(self) -> dict[str, pa.Array]:
        """Return the columns ``attribute_keys``, ``attribute_values`` and ``attribute_types`` (``collector.batch``)."""
        names = pa.array([json.dumps(keys, ensure_ascii=False) for keys, _ in self.shapes], pa.string())
        letters = pa.array([letters for _, letters in self.shapes], pa.string())
        shape = pa.array(self.shape, pa.int32())
        return {
            "attribute_keys": pa.DictionaryArray.from_arrays(shape, names),
            "attribute_values": pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), self.values()),
            "attribute_types": pa.DictionaryArray.from_arrays(shape, letters),
        }

    def values(self) -> pa.Array:
        """Return the text of every entry, row after row."""
        return self.text.take(pa.array(self.codes))

    def maps(self) -> pa.Array:
        """Return a map a row, for attributes that sit inside a nested column."""
        keys = pa.array(self.keys, pa.string()).take(pa.array(self.key_of[self.codes]))
        return pa.MapArray.from_arrays(pa.array(self.offsets, pa.int32()), keys, self.values())

    def types(self) -> pa.Array:
        """Return the type letters a row, one letter an attribute."""
        return pa.array([letters for _, letters in self.shapes], pa.string()).take(pa.array(self.shape))

    def rows(self) -> list[dict[str, str | None]]:
        """Return a dict a row; for resources and scopes, of which there are few."""
        return [dict(pairs) for pairs in self.maps().to_pylist()]

    def well_known(self) -> dict[str, pa.Array]:
        """Return the columns of ``collector.semconv.WELL_KNOWN``; null where absent or not of the column's type."""
        places = np.array([_places(keys) for keys, _ in self.shapes], np.int32).reshape(-1, len(WELL_KNOWN))
        return {known.column: self._pick(places[:, index], known.dtype) for index, known in enumerate(WELL_KNOWN)}

    def _pick(self, place_in_shape: Ints, dtype: pa.DataType) -> pa.Array:
        """The text of the entry at a place that depends on a row's shape; -1 means none."""
        rows = len(self.shape)
        if not rows or (place_in_shape < 0).all():
            return pa.nulls(rows, dtype)
        place = place_in_shape[self.shape]
        missing = place < 0
        entry = np.where(missing, 0, self.offsets[:-1] + place)
        text = self.text.take(pa.array(self.codes[entry], mask=missing))
        return text if pa.types.is_string(dtype) else _integers(text, dtype)


def _places(keys: tuple[str, ...]) -> list[int]:
    """Where in a list of keys each well-known column finds its value: at its newest name, -1 without any."""
    place = {key: index for index, key in enumerate(keys)}
    return [next((place[key] for key in known.keys if key in place), -1) for known in WELL_KNOWN]


def _integers(text: pa.Array, dtype: pa.DataType) -> pa.Array:
    number = pc.match_substring_regex(text, r"^-?\d{1,9}$")
    return pc.if_else(number, text, pa.scalar(None, pa.string())).cast(dtype)


def decode_attributes(lists: pa.ListArray, redaction: Redaction | None = None) -> Attributes:
    """Decode lists of ``KeyValue`` bytes, redacted; of a key that a row repeats, the last value counts.

    Raises ``InvalidRequestError`` when an attribute is malformed.
    """
    offsets = lists.offsets.to_numpy()
    distinct = lists.values.slice(offsets[0], offsets[-1] - offsets[0]).dictionary_encode()
    pairs = wire.decode_key_values(distinct.dictionary)
    value = pairs.column("value")
    text, kinds = text_and_type(dict(zip((field.name for field in value.type), value.flatten(), strict=True)))
    keys = pairs.column("key").dictionary_encode()
    key_of, names = keys.indices.to_numpy(), keys.dictionary.to_pylist()
    offsets, codes = (offsets - offsets[0]).astype(np.int32), distinct.indices.to_numpy()
    if redaction is not None:
        text, kinds = _hashed(redaction.hashed(names)[key_of], redaction, text, kinds)
        kept = ~redaction.dropped(names)[key_of][codes]
        offsets, codes = np.concatenate(([0], np.cumsum(kept)))[offsets].astype(np.int32), codes[kept]
    return _with_shapes(offsets, codes, key_of, names, (text, kinds))


def _hashed(chosen: Ints, redaction: Redaction, text: pa.Array, kinds: Ints) -> tuple[pa.Array, Ints]:
    """The text of chosen values hashed; a hash is a string, whatever the value was."""
    if not chosen.any():
        return text, kinds
    valid = pc.is_valid(text).to_numpy(zero_copy_only=False)
    return redaction.hash_values(text, chosen), np.where(chosen & valid, STRING, kinds).astype(kinds.dtype)


def _with_shapes(
    offsets: Ints, codes: Ints, key_of: Ints, keys: list[str], values: tuple[pa.Array, Ints]
) -> Attributes:
    text, kinds = values
    _, first, shape = np.unique(_shape_hash(offsets, codes, key_of, kinds), return_index=True, return_inverse=True)
    shapes = []
    repeating = []
    for index, row in enumerate(first):
        entries = codes[offsets[row] : offsets[row + 1]]
        names = tuple(keys[key] for key in key_of[entries])
        shapes.append((names, "".join(LETTERS[kinds[entries]])))
        if len(set(names)) < len(names):
            repeating.append((index, names))
    if repeating:
        kept = _last_of_each_key(offsets, shape, repeating)
        offsets = np.concatenate(([0], np.cumsum(kept)))[offsets].astype(np.int32)
        return _with_shapes(offsets, codes[kept], key_of, keys, values)
    return Attributes(offsets, codes, key_of, keys, text, kinds, shape.astype(np.int32), shapes)


def _shape_hash(offsets: Ints, codes: Ints, key_of: Ints, kinds: Ints) -> Ints:
    """A 64-bit hash a row of its keys, types and their order; random by process, so that no request can aim at one."""
    lengths = np.diff(offsets)
    kind_of_key = key_of.astype(np.int64) * len(LETTERS) + kinds
    words = _RANDOM.integers(1, 2**63, size=int(kind_of_key.max(initial=0)) + 1, dtype=np.uint64)
    places = _RANDOM.integers(2**63, 2**64, size=int(lengths.max(initial=0)) + 1, dtype=np.uint64) | np.uint64(1)
    position = np.arange(len(codes)) - np.repeat(offsets[:-1], lengths)
    total = np.concatenate((np.zeros(1, np.uint64), np.cumsum(words[kind_of_key][codes] * places[position])))
    hashes: Ints = total[offsets[1:]] - total[offsets[:-1]]
    return hashes


def _last_of_each_key(offsets: Ints, shape: Ints, repeating: list[tuple[int, tuple[str, ...]]]) -> Ints:
    """A mask over entries without those that a later one of the same row and key replaces (OTLP wants keys unique)."""
    kept = np.ones(offsets[-1], bool)
    for index, names in repeating:
        last = {name: place for place, name in enumerate(names)}
        replaced = np.array([place for place, name in enumerate(names) if last[name] != place])
        kept[(offsets[:-1][shape == index][:, None] + replaced).ravel()] = False
    return kept
