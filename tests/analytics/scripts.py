"""Requests as scripts of what services do step by step: statements, calls, messages; and what rules see of them."""

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
    from collections.abc import Iterable

MS = 1_000_000
_NETWORK = 100_000


@dataclass(frozen=True)
class Work:
    """Local work, without a span of its own unless it is named."""

    ms: float = 1
    name: str | None = None


@dataclass(frozen=True)
class Sql:
    """A statement to a PostgreSQL database: by default the service's own, at the address ``db``.

    ``also`` are columns of SPANS that stand in for those.
    """

    text: str | None
    ms: float = 1
    failed: bool = False
    also: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ask:
    """A request to a service, which takes these steps one after the other; the caller waits."""

    service: str
    operation: str = "op"
    steps: tuple[Step, ...] = ()
    failed: bool = False
    caller_failed: bool | None = None


@dataclass(frozen=True)
class Send:
    """A message: whoever takes it works on after the sender. ``linked``: in a trace of its own; ``lost``: nobody."""

    service: str
    queue: str = "queue"
    steps: tuple[Step, ...] = ()
    failed: bool = False
    linked: bool = False
    lost: bool = False


@dataclass(frozen=True)
class Together:
    """Steps that begin at the same time."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Poll:
    """A CLIENT span that asks a queue for messages."""

    queue: str = "queue"
    ms: float = 1


Step = Work | Sql | Ask | Send | Together | Poll


@dataclass
class _Script:
    """Rows of SPANS and LINKS as they are made."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    resources: dict[str, int] = field(default_factory=dict)
    trace: int = 0

    def add(self, service: str, name: str, kind: str, parent: int | None, start: int, **more: Any) -> dict[str, Any]:
        row: dict[str, Any] = {"trace_high": 9, "trace_low": self.trace, "span_id": len(self.rows) + 1}
        row |= {"parent_span_id": parent, "span_name": name, "kind": kind, "start_unix_nano": start, "duration_ns": 0}
        row |= {"resource": self.resources.setdefault(service, len(self.resources)), "status": "unset"} | more
        self.rows.append(row)
        return row

    def begin(self, request: Ask, start: int) -> None:
        """Add a request as a trace of its own."""
        self.trace += 1
        self.stay(request, "server", None, start)

    def stay(self, ask: Ask, kind: str, parent: int | None, start: int) -> int:
        own = self.add(ask.service, ask.operation, kind, parent, start, status=_status(failed=ask.failed))
        now = start + MS // 2
        for step in ask.steps:
            now = self.take(ask.service, step, own["span_id"], now)
        own["duration_ns"] = now + MS // 2 - start
        return int(now + MS // 2)

    def take(self, service: str, step: Step, parent: int, now: int) -> int:
        if isinstance(step, Together):
            return max([now, *(self.take(service, one, parent, now) for one in step.steps)])
        if isinstance(step, Ask):
            return self.ask(service, step, parent, now)
        if isinstance(step, Send):
            return self.send(service, step, parent, now)
        return self.leaf(service, step, parent, now)

    def leaf(self, service: str, step: Work | Sql | Poll, parent: int, now: int) -> int:
        length = int(step.ms * MS)
        if isinstance(step, Sql):
            name = (step.text or "statement").split(maxsplit=1)[0].upper()
            columns = {"db_system": "postgresql", "server_address": "db", "db_namespace": service} | step.also
            row = self.add(service, name, "client", parent, now, db_statement=step.text, **columns)
            row |= {"duration_ns": length, "status": _status(failed=step.failed)}
        elif isinstance(step, Poll):
            told = {"messaging_system": "rabbitmq", "messaging_operation": "receive", "duration_ns": length}
            self.add(service, f"{step.queue} receive", "client", parent, now, messaging_destination=step.queue, **told)
        elif step.name is not None:
            self.add(service, step.name, "internal", parent, now, duration_ns=length)
        return now + length

    def ask(self, service: str, step: Ask, parent: int, now: int) -> int:
        failed = step.failed if step.caller_failed is None else step.caller_failed
        own = self.add(service, step.operation, "client", parent, now, status=_status(failed=failed))
        end = self.stay(step, "server", own["span_id"], now + _NETWORK) + _NETWORK
        own["duration_ns"] = end - now
        return end

    def send(self, service: str, step: Send, parent: int, now: int) -> int:
        told = {"messaging_system": "rabbitmq", "messaging_destination": step.queue}
        sent = self.add(service, f"{step.queue} send", "producer", parent, now, duration_ns=_NETWORK, **told)
        if not step.lost:
            here = self.trace
            if step.linked:
                self.trace = 1_000_000 + len(self.rows)
            taken = len(self.rows)
            above = None if step.linked else sent["span_id"]
            ask = Ask(step.service, f"{step.queue} process", step.steps, step.failed)
            self.stay(ask, "consumer", above, now + 2 * _NETWORK)
            self.rows[taken] |= told
            if step.linked:
                ids = {"trace_high": 9, "trace_low": self.trace, "span_id": self.rows[taken]["span_id"]}
                linked = {"linked_trace_high": 9, "linked_trace_low": here, "linked_span_id": sent["span_id"]}
                self.links.append(ids | linked)
            self.trace = here
        return now + _NETWORK


def _status(*, failed: bool) -> str:
    return "error" if failed else "unset"


def script_traces(requests: Iterable[Ask]) -> Traces:
    """Return the spans of these requests, one a second."""
    made = _Script()
    for number, request in enumerate(requests):
        made.begin(request, number * 1000 * MS)
    known = [{"resource": code, "service": name, "environment": "test"} for name, code in made.resources.items()]
    return Traces(
        conform(pl.DataFrame(made.rows, infer_schema_length=None), SPANS) if made.rows else empty(SPANS),
        conform(pl.DataFrame(known), RESOURCES) if known else empty(RESOURCES),
        conform(pl.DataFrame(made.links), LINKS) if made.links else empty(LINKS),
    )


def script_subject(requests: Iterable[Ask]) -> Subject:
    """Return what rules look at."""
    return Subject(analyse(script_traces(requests)), empty(RESOURCE_USE), empty(SATURATION))


def writes(table: str, ms: float = 1) -> Sql:
    """A statement that inserts a row."""
    return Sql(f"INSERT INTO {table} VALUES (?)", ms)


def reads(table: str, ms: float = 1, **also: Any) -> Sql:
    """A statement that looks at rows; ``also`` are columns of its span."""
    return Sql(f"SELECT * FROM {table} WHERE id = ?", ms, also=also)
