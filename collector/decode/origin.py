"""Where telemetry comes from: resources and scopes, interned by a digest of their wire bytes.

A request has few of them, mostly one; each distinct one is decoded once and then remembered.
"""

from __future__ import annotations

import json
from collections import OrderedDict
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

_REMEMBERED = 4096  # distinct resources or scopes; a fleet has fewer, and forgetting one costs one decoding


class Interner:
    """Maps wire bytes of one message type to digests and rows, remembering the most recent ones."""

    def __init__(self, decode: Callable[[bytes], dict[str, Any]], schema: pa.Schema) -> None:
        self._decode = decode
        self._schema = schema
        self._rows: OrderedDict[int, dict[str, Any]] = OrderedDict()

    def intern(self, messages: pa.Array, schema_urls: pa.Array) -> tuple[Ints, pa.Table]:
        """Return a digest for each message, and a table with one row for each distinct digest."""
        digests = np.empty(len(messages), np.uint64)
        seen: dict[int, dict[str, Any]] = {}
        for index, (raw, url) in enumerate(zip(messages.to_pylist(), schema_urls.to_pylist(), strict=True)):
            digest = xxhash.xxh3_64_intdigest(b"\0".join((raw, url.encode())))
            digests[index] = digest
            if digest not in seen:
                seen[digest] = self._row(digest, raw, url)
        return digests, pa.Table.from_pylist(list(seen.values()), schema=self._schema)

    def _row(self, digest: int, raw: bytes, url: str) -> dict[str, Any]:
        row = self._rows.get(digest)
        if row is None:
            row = self._rows[digest] = {"digest": digest, "schema_url": url or None, **self._decode(raw)}
            if len(self._rows) > _REMEMBERED:
                self._rows.popitem(last=False)
        return row


def _common(message: pa.RecordBatch) -> tuple[dict[str, str | None], dict[str, Any]]:
    attributes = decode_attributes(message.column("attributes"))
    values = attributes.rows()[0]
    return values, {
        "attributes": list(values.items()),
        "attribute_types": attributes.types()[0].as_py(),
        "dropped_attributes_count": message.column("dropped_attributes_count")[0].as_py(),
    }


def _resource(raw: bytes) -> dict[str, Any]:
    message = wire.decode_resources(pa.array([raw], pa.binary()))
    values, row = _common(message)
    references = message.column("entity_refs")[0].as_py()
    return row | {
        "environment": semconv.first_of(values, semconv.ENVIRONMENT),
        # A resource without a name is what the specification calls an unknown service.
        "service_name": semconv.first_of(values, semconv.SERVICE_NAME) or "unknown_service",
        "service_namespace": semconv.first_of(values, semconv.SERVICE_NAMESPACE),
        "service_version": semconv.first_of(values, semconv.SERVICE_VERSION),
        "service_instance_id": semconv.first_of(values, semconv.SERVICE_INSTANCE),
        "entity_refs": json.dumps(references) if references else None,
    }


def _scope(raw: bytes) -> dict[str, Any]:
    message = wire.decode_scopes(pa.array([raw], pa.binary()))
    _, row = _common(message)
    return row | {"name": message.column("name")[0].as_py(), "version": message.column("version")[0].as_py() or None}


class Origins:
    """The resources and scopes that decoding has met."""

    def __init__(self) -> None:
        self.resources = Interner(_resource, RESOURCES)
        self.scopes = Interner(_scope, SCOPES)
