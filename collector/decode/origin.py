"""Where telemetry comes from: resources and scopes, interned by a digest of their wire bytes.

A request has few of them, mostly one; each distinct one is decoded once and then remembered.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import xxhash

from collector import semconv
from collector.batch import RESOURCES, SCOPES
from collector.decode import wire
from collector.decode.attributes import Ints, decode_attributes

if TYPE_CHECKING:
    from collections.abc import Callable

    from collector.redaction import Redaction

_REMEMBERED = 4096  # distinct resources or scopes; a fleet has fewer, and forgetting one costs one decoding


class Interner:
    """Maps wire bytes of one message type to digests and rows, remembering the most recent ones.

    ``decode`` takes the distinct messages that are new, all at once.
    """

    def __init__(self, decode: Callable[[pa.Array], list[dict[str, Any]]], schema: pa.Schema) -> None:
        self._decode = decode
        self._schema = schema
        self._rows: OrderedDict[int, dict[str, Any]] = OrderedDict()

    def intern(self, messages: pa.Array, schema_urls: pa.Array) -> tuple[Ints, pa.Table]:
        """Return a digest for each message, and a table with one row for each distinct digest."""
        pairs = list(zip(messages.to_pylist(), schema_urls.to_pylist(), strict=True))
        digests = [xxhash.xxh3_64_intdigest(b"\0".join((raw, url.encode()))) for raw, url in pairs]
        distinct = dict(zip(digests, pairs, strict=True))
        self._learn({digest: pair for digest, pair in distinct.items() if digest not in self._rows})
        for digest in distinct:
            self._rows.move_to_end(digest)
        table = pa.Table.from_pylist([self._rows[digest] for digest in distinct], schema=self._schema)
        while len(self._rows) > _REMEMBERED:
            self._rows.popitem(last=False)
        return np.array(digests, np.uint64), table

    def _learn(self, fresh: dict[int, tuple[bytes, str]]) -> None:
        if fresh:
            rows = self._decode(pa.array([raw for raw, _ in fresh.values()], pa.binary()))
            for (digest, (_, url)), row in zip(fresh.items(), rows, strict=True):
                self._rows[digest] = {"digest": digest, "schema_url": url or None, **row}


def _common(messages: pa.RecordBatch, redaction: Redaction | None) -> list[dict[str, Any]]:
    attributes = decode_attributes(messages.column("attributes"), redaction)
    dropped_counts = messages.column("dropped_attributes_count").to_pylist()
    return [
        {"attributes": list(values.items()), "attribute_types": types, "dropped_attributes_count": dropped}
        for values, types, dropped in zip(
            attributes.rows(), attributes.types().to_pylist(), dropped_counts, strict=True
        )
    ]


def _resources(redaction: Redaction | None, raw: pa.Array) -> list[dict[str, Any]]:
    messages = wire.decode_resources(raw)
    entities = messages.column("entity_refs").to_pylist()
    return [
        row | _identity(dict(row["attributes"])) | {"entity_refs": json.dumps(references) if references else None}
        for row, references in zip(_common(messages, redaction), entities, strict=True)
    ]


# These columns are repeated in every row, so a name of a MiB would make a small request fill the store's memory; the
# resource's attributes keep it whole.
_MOST_NAME = 1024


def _identity(attributes: dict[str, str | None]) -> dict[str, str | None]:
    return {
        "environment": _name(attributes, semconv.ENVIRONMENT),
        # A resource without a name is what the specification calls an unknown service.
        "service_name": _name(attributes, semconv.SERVICE_NAME) or "unknown_service",
        "service_namespace": _name(attributes, semconv.SERVICE_NAMESPACE),
        "service_version": _name(attributes, semconv.SERVICE_VERSION),
        "service_instance_id": _name(attributes, semconv.SERVICE_INSTANCE),
    }


def _name(attributes: dict[str, str | None], keys: tuple[str, ...]) -> str | None:
    value = semconv.first_of(attributes, keys)
    return value if value is None else value[:_MOST_NAME]


def _scopes(redaction: Redaction | None, raw: pa.Array) -> list[dict[str, Any]]:
    messages = wire.decode_scopes(raw)
    names, versions = messages.column("name").to_pylist(), messages.column("version").to_pylist()
    return [
        row | {"name": name, "version": version or None}
        for row, name, version in zip(_common(messages, redaction), names, versions, strict=True)
    ]


class Origins:
    """The resources and scopes that decoding has met."""

    def __init__(self, redaction: Redaction | None = None) -> None:
        self.redaction = redaction
        self.resources = Interner(partial(_resources, redaction), RESOURCES)
        self.scopes = Interner(partial(_scopes, redaction), SCOPES)
