"""Realistic traces as columns, as many as wanted: calls between a dozen services or more, in turn and in parallel."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.schema import KINDS, RESOURCES, SPANS, STATUSES, conform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.arrays import Array

SPANS_PER_TRACE = 50
SERVICES = (
    "gateway",
    "checkout",
    "payment",
    "catalog",
    "cart",
    "stock",
    "users",
    "mail",
    "search",
    "ship",
    "price",
    "ad",
)
_DATABASES = {"payment", "catalog", "cart", "stock", "users", "search", "price"}
_INSTANCES = 3
_TEMPLATES = 200
_START = 1_790_000_000_000_000_000
_WINDOW_NS = 300_000_000_000
_SERVER, _CLIENT = KINDS.index("server"), KINDS.index("client")


@dataclass(slots=True)
class _Template:
    """One trace's spans, in microseconds; index 0 is the root."""

    rng: random.Random
    services: int
    parent: list[int] = field(default_factory=list)
    service: list[int] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    begin: list[float] = field(default_factory=list)
    length: list[float] = field(default_factory=list)
    operation: list[int] = field(default_factory=list)

    def add(self, parent: int, service: int, kind: int, begin: float) -> int:
        """Add a span whose length is not known yet."""
        self.parent.append(parent)
        self.service.append(service)
        self.kind.append(kind)
        self.begin.append(begin)
        self.length.append(0.0)
        self.operation.append(self.rng.randrange(6))
        return len(self.parent) - 1

    def serve(self, parent: int, service: int, begin: float, budget: int) -> float:
        """Add a server span with at most ``budget`` spans in all, and return its end."""
        span = self.add(parent, service, _SERVER, begin)
        budget -= 1
        now = begin + self.rng.expovariate(1 / 300)
        while budget >= 1:
            branches = min(self.rng.choice((1, 1, 2, 3)), budget)
            shares = [budget // branches] * branches if self.rng.random() < 0.6 else [min(budget, 1)] * branches
            now = max(self.call(span, service, now + i * 20, share) for i, share in enumerate(shares))
            now += self.rng.expovariate(1 / 200)
            budget -= sum(shares)
        self.length[span] = now - begin
        return now

    def call(self, parent: int, service: int, begin: float, budget: int) -> float:
        """Add a client span, and what it calls when the budget allows, and return its end."""
        span = self.add(parent, service, _CLIENT, begin)
        end = begin + self.rng.lognormvariate(6.5, 1)
        if budget > 1:
            wait = self.rng.expovariate(1 / 400)
            end = self.serve(span, self.rng.randrange(1, self.services), begin + wait, budget - 1) + wait
        self.length[span] = end - begin
        return end


def service_names(count: int) -> tuple[str, ...]:
    """Return the names of so many services, the dozen first."""
    return (*SERVICES, *(f"service-{number}" for number in range(len(SERVICES), count)))[:count]


def resources(services: Sequence[str] = SERVICES) -> pl.DataFrame:
    """Return RESOURCES: three instances a service, each on a host of its own."""
    rows = [(name, place) for name in services for place in range(_INSTANCES)]
    frame = pl.DataFrame(
        {
            "resource": range(len(rows)),
            "environment": "prod",
            "service": [name for name, _ in rows],
            "instance": [f"{name}-{place}" for name, place in rows],
            "host": [f"node-{name}-{place}" for name, place in rows],
        }
    )
    return conform(frame, RESOURCES)


def traces(count: int, *, seed: int = 1, services: Sequence[str] = SERVICES) -> pl.DataFrame:
    """Return SPANS of this many traces of 50 spans within five minutes, in the order of their ends.

    Requests come to the first of the services; each of them calls any of the others.
    One service's clocks are 3 ms late; one trace in a thousand lacks a span; one request in twenty failed.
    """
    rng = np.random.default_rng(seed)
    shapes = _shapes(seed, len(services))
    shape = rng.integers(0, _TEMPLATES, count)
    spans = {name: values[shape].ravel() for name, values in shapes.items()}
    scale = np.repeat(rng.lognormal(0, 0.4, count), SPANS_PER_TRACE) * 1000
    leaf = spans["leaf"]
    length = spans["length"] * scale * np.where(leaf, rng.uniform(0.9, 1, len(scale)), 1)
    begin = np.repeat(rng.integers(_START, _START + _WINDOW_NS, count), SPANS_PER_TRACE)
    late = np.where(spans["service"] == services.index("stock"), 3_000_000, 0)
    start = begin + (spans["begin"] * scale).astype(np.int64) + late
    table = _identities(rng, count, spans["parent"]) | _labels(rng, spans, services)
    frame = conform(pl.DataFrame(table | {"start_unix_nano": start, "duration_ns": length.astype(np.int64)}), SPANS)
    lost = rng.random(frame.height) < 0.001 / SPANS_PER_TRACE
    return frame.filter(~pl.Series(lost)).sort(pl.col("start_unix_nano") + pl.col("duration_ns"))


def _shapes(seed: int, services: int) -> dict[str, Array]:
    """Return templates' columns, one row a template."""
    found: list[_Template] = []
    rng = random.Random(seed)
    while len(found) < _TEMPLATES:
        template = _Template(rng, services)
        template.serve(-1, 0, 0, SPANS_PER_TRACE)
        if len(template.parent) == SPANS_PER_TRACE:
            found.append(template)
    names = ("parent", "service", "kind", "begin", "length", "operation")
    shapes = {name: np.array([getattr(template, name) for template in found]) for name in names}
    parents = shapes["parent"]
    leaf = np.array([~np.isin(np.arange(SPANS_PER_TRACE), parent) for parent in parents])
    return shapes | {"leaf": leaf}


def _identities(rng: np.random.Generator, count: int, parent: Array) -> dict[str, Any]:
    high, low = (np.repeat(rng.integers(1, 2**64, count, np.uint64), SPANS_PER_TRACE) for _ in range(2))
    span_id = rng.integers(1, 2**64, len(parent), np.uint64)
    base = np.repeat(np.arange(count) * SPANS_PER_TRACE, SPANS_PER_TRACE)
    parent_id = np.where(parent >= 0, span_id[base + parent], np.uint64(0))
    return {
        "trace_high": high,
        "trace_low": low,
        "span_id": span_id,
        "parent_span_id": pl.Series(parent_id).replace(0, None),
    }


def _labels(rng: np.random.Generator, spans: dict[str, Array], services: Sequence[str]) -> dict[str, Any]:
    service, kind, count = spans["service"], spans["kind"], len(spans["kind"])
    names = pl.Series([f"GET /{name}/{place}" for name in services for place in range(6)])
    owners = pl.Series([name if name in _DATABASES else None for name in services]).gather(service)
    client = pl.Series(kind == _CLIENT)
    database = pl.DataFrame({"owner": owners, "client": client}).select(
        pl.when("client").then("owner").alias("db_namespace"),
        pl.when(pl.col("client") & pl.col("owner").is_not_null()).then(pl.lit("postgresql")).alias("db_system"),
        pl.when("client").then(pl.format("db-{}.prod", pl.col("owner").fill_null("x"))).alias("server_address"),
    )
    return {
        "resource": service * _INSTANCES + rng.integers(0, _INSTANCES, count),
        "span_name": names.gather(service * 6 + spans["operation"]).cast(pl.Categorical),
        "kind": pl.Series(kind.astype(np.uint8)).cat.to(pl.Enum(KINDS)),
        "status": pl.Series((rng.random(count) < 0.05).astype(np.uint8) * 2).cat.to(pl.Enum(STATUSES)),
        **database.to_dict(as_series=True),
    }
