"""Requests as trees of calls, and what the analysis makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.analysis import analyse
from analytics.findings import Subject
from analytics.schema import LINKS, RESOURCES, SPANS, conform, empty
from analytics.service_schema import RESOURCE_USE, SATURATION
from analytics.source import Traces

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MS = 1_000_000
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Call:
    """A stay in a service, and the calls it makes, one after the other; ``ms`` is its own work after them.

    ``mode`` is sync, async, or late: a call that nobody waits for, made when the caller has answered. ``database`` is
    one that it asks first, for rows of ``table``. ``caller_failed`` is what the caller
    saw, by default ``failed``.
    """

    service: str
    calls: tuple[Call, ...] = ()
    mode: str = "sync"
    ms: float = 1
    failed: bool = False
    database: str | None = None
    table: str | None = None
    operation: str = "op"
    caller_failed: bool | None = None


@dataclass
class _Spans:
    """Rows of SPANS as they are made."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    resources: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, call: Call, kind: str, parent: int | None, start: int, **more: Any) -> dict[str, Any]:
        row: dict[str, Any] = {
            "span_id": len(self.rows) + 1,
            "parent_span_id": parent,
            "kind": kind,
            "start_unix_nano": start,
        }
        version = more.pop("version")
        number = self.resources.setdefault((call.service, version), len(self.resources))
        row |= {"resource": number, "span_name": call.operation, "status": "error" if call.failed else "unset"} | more
        self.rows.append(row)
        return row


def spans_of(requests: Iterable[tuple[float, Call]], versions: Mapping[str, list[float]] | None = None) -> Traces:
    """Return the spans of requests, each with the millisecond at which it begins.

    ``versions`` are the milliseconds at which a new version of a service takes over.
    """
    made = _Spans()
    for number, (at, call) in enumerate(requests):
        first = len(made.rows)
        _visit(made, call, None, int(at * MS), versions or {})
        for row in made.rows[first:]:
            row |= {"trace_high": 7, "trace_low": number + 1}
    spans = pl.DataFrame(made.rows, infer_schema_length=None) if made.rows else empty(SPANS)
    known = [
        {"resource": number, "service": service, "version": version, "environment": "test"}
        for (service, version), number in made.resources.items()
    ]
    resources = conform(pl.DataFrame(known), RESOURCES) if known else empty(RESOURCES)
    return Traces(conform(spans, SPANS), resources, empty(LINKS))


def _visit(made: _Spans, call: Call, parent: int | None, start: int, versions: Mapping[str, list[float]]) -> int:
    """Add a stay and all below it, and return its end."""
    version = f"1.{sum(at * MS <= start for at in versions.get(call.service, ()))}"
    kind = "consumer" if call.mode == "async" else "server"
    own = made.add(call, kind, parent, start, version=version)
    now = start
    if call.database is not None:
        asked = made.add(call, "client", own["span_id"], now, version=version, db_system="postgresql", status="unset")
        asked |= {"server_address": "db", "db_namespace": call.database, "db_collection": call.table}
        asked["duration_ns"] = MS
        now += MS
    for below in call.calls:
        failed = below.failed if below.caller_failed is None else below.caller_failed
        status = "error" if failed else "unset"
        if below.mode == "late":
            continue
        kind = "client" if below.mode == "sync" else "producer"
        asking = made.add(call, kind, own["span_id"], now, version=version, status=status)
        end = _visit(made, below, asking["span_id"], now + 1000, versions) + 1000
        asking["duration_ns"] = end - now if below.mode == "sync" else 1000
        now = end if below.mode == "sync" else now + 1000
    end = now + int(call.ms * MS)
    own["duration_ns"] = end - start
    for below in (below for below in call.calls if below.mode == "late"):
        asking = made.add(call, "client", own["span_id"], end + MS, version=version, status="unset")
        asking["duration_ns"] = _visit(made, below, asking["span_id"], end + MS, versions) - end - MS
    return end


def subject_of(requests: Iterable[Call], versions: Mapping[str, list[float]] | None = None) -> Subject:
    """Return what rules look at, of one request a second."""
    timed = [(1000.0 * number, call) for number, call in enumerate(requests)]
    return timed_subject(timed, versions)


def timed_subject(requests: Iterable[tuple[float, Call]], versions: Mapping[str, list[float]] | None = None) -> Subject:
    """Return what rules look at, of requests that begin at these milliseconds."""
    return Subject(analyse(spans_of(requests, versions)), empty(RESOURCE_USE), empty(SATURATION))


def chain(*services: str, **last: Any) -> Call:
    """Return a request that goes from service to service; ``last`` describes the last one."""
    call = Call(services[-1], **last)
    for service in reversed(services[:-1]):
        call = Call(service, (call,))
    return call
