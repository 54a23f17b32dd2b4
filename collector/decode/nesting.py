"""OTLP's three levels (resource, scope, record) to one row a record that knows its request, resource and scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from collector.signals import Signal

if TYPE_CHECKING:
    from collector.decode.attributes import Ints
    from collector.decode.origin import Origins
    from collector.redaction import Redaction

_LEVELS = {
    Signal.TRACES: ("scope_spans", "spans"),
    Signal.METRICS: ("scope_metrics", "metrics"),
    Signal.LOGS: ("scope_logs", "log_records"),
}


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one signal in request order: their fields, and where each comes from.

    ``request`` is the index of the request body, ``resource`` and ``scope`` are digests; all have a row a record.
    """

    fields: dict[str, pa.Array]
    request: Ints
    resource: Ints
    scope: Ints
    redaction: Redaction | None = None

    def __len__(self) -> int:
        return len(self.request)

    def take(self, kept: Ints) -> Records:
        """Return the records of a boolean mask or of row indexes."""
        rows = kept.nonzero()[0] if kept.dtype == bool else kept
        index = pa.array(rows)
        return Records(
            {name: column.take(index) for name, column in self.fields.items()},
            self.request[rows],
            self.resource[rows],
            self.scope[rows],
            self.redaction,
        )

    def origin(self) -> dict[str, pa.Array]:
        """Return the columns ``resource`` and ``scope`` of ``collector.batch``."""
        return {"resource": pa.array(self.resource, pa.uint64()), "scope": pa.array(self.scope, pa.uint64())}


def fields_of(struct: pa.StructArray) -> dict[str, pa.Array]:
    """Return a struct's fields by name, null where the struct is null."""
    return dict(zip((field.name for field in struct.type), struct.flatten(), strict=True))


def parents(lists: pa.ListArray) -> Any:
    """Return for each element of the flattened lists the row it came from."""
    return pc.list_parent_indices(lists).to_numpy()


def unnest(signal: Signal, nested: pa.RecordBatch, origins: Origins) -> tuple[Records, pa.Table, pa.Table]:
    """Return the records of decoded requests, the resources and the scopes they point at."""
    scope_level, record_level = _LEVELS[signal]
    per_resource = fields_of(nested.column(0).flatten())
    per_scope = fields_of(per_resource[scope_level].flatten())
    lists = per_scope[record_level]
    scope_of = parents(lists)
    resource_of = parents(per_resource[scope_level])[scope_of]
    request_of = parents(nested.column(0))[resource_of]
    resource, resources = origins.resources.intern(per_resource["resource"], per_resource["schema_url"])
    scope, scopes = origins.scopes.intern(per_scope["scope"], per_scope["schema_url"])
    fields = fields_of(lists.flatten())
    records = Records(fields, request_of, resource[resource_of], scope[scope_of], origins.redaction)
    return records, resources, scopes
