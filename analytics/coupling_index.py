"""The coupling index: one number from 0 (free) to 100 (one monolith), its parts, and what would lower it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import polars as pl

from analytics.coupling import mean_over, needs, propagation_cost, reach, service_graph, sync_ratio
from analytics.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from analytics.coupling import Edge, Reach, ServiceGraph
    from analytics.findings import Subject
    from analytics.shapes import Shapes

Grade: TypeAlias = Literal["loose", "moderate", "tight", "monolith", "unknown"]

WEIGHTS: Mapping[str, float] = {
    "sync-ratio": 0.20,
    "propagation-cost": 0.25,
    "needed-share": 0.15,
    "sync-depth": 0.20,
    "cycles": 0.15,
    "shared-database": 0.05,
}
"""What each part counts; docs/adr/0011 says why. A system without calls in sync must stay under 10, one in which each
service needs each other above 90, whatever its databases: so these have less than a tenth."""

DEEP = 4
"""Hops that count as wholly deep: five services, each up 99.9 % of the time, are all up 99.5 % of it."""

ENOUGH_TRACES = 30
"""With fewer the standard error of a share is up to 0.1 and more."""

GRADES: tuple[tuple[float, Grade], ...] = ((70.0, "monolith"), (50.0, "tight"), (25.0, "moderate"), (0.0, "loose"))
"""The least score of each grade, half the scale being the middle; no limits are agreed on in the literature."""

MOST_EDGES = 200
"""Edges that are tried out for ``lowers``, those with most calls first: each takes some milliseconds."""

_MOST_STEPS = 200_000
"""Services and edges that may be looked at for that all together: of 5,000 services 20 edges are tried out, in 4 s."""

STEPS = 3
"""Edges that lower it most, of which ``together`` tells what all of them would do."""

_NAMED = 3
"""Services or edges that an explanation names."""


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the index: a ``value`` of 0 to 1; contributions add up to the score."""

    name: str
    value: float
    weight: float
    contribution: float
    explanation: str


@dataclass(frozen=True, slots=True)
class Lowering:
    """By how many points the index falls when the calls of an edge become async, or are not made any more.

    ``if_removed`` takes it that all that is called behind the edge is called by others as well.
    """

    edge: str
    if_async: float
    if_removed: float


@dataclass(frozen=True, slots=True)
class Together:
    """What the ``score`` would be with the calls of all these edges async."""

    edges: tuple[str, ...]
    score: float


@dataclass(frozen=True, slots=True)
class CouplingIndex:
    """The index; ``score`` is null when there is nothing to couple, and ``missing`` says what is too little to tell.

    ``components`` are in the order of WEIGHTS, ``lowers`` has the edges that lower it most first. ``together`` is of
    the first STEPS of these, as far as they lower it: what they do together is not the sum of what each does.
    """

    score: float | None
    grade: Grade
    components: tuple[Component, ...] = ()
    lowers: tuple[Lowering, ...] = ()
    missing: str | None = None
    together: Together | None = None

    def describe(self) -> dict[str, Any]:
        """Return the contract's ``coupling_index`` object."""
        found = asdict(self)
        if self.together:
            found["together"]["edges"] = list(self.together.edges)
        return found | {key: list(found[key]) for key in ("components", "lowers")}


def coupling_index(subject: Subject) -> CouplingIndex:
    """Return the index of one environment; with fewer than ENOUGH_TRACES its grade is ``unknown``."""
    model = _model(subject)
    requests = int(model.shapes.traces.sum())
    if len(model.graph) < 2 or not requests:  # noqa: PLR2004  (it takes two)
        return CouplingIndex(None, "unknown", missing=_nothing(len(model.graph), requests))
    values = model.values()
    components = tuple(
        Component(name, value, WEIGHTS[name], 100 * WEIGHTS[name] * value, model.explain(name))
        for name, value in values.items()
    )
    score = _score(values)
    missing = f"{ENOUGH_TRACES} traces, there are {requests}" if requests < ENOUGH_TRACES else None
    lowers = _lowers(model)
    together = _together(model, [lower.edge for lower in lowers[:STEPS] if lower.if_async > 0])
    return CouplingIndex(score, "unknown" if missing else grade(score), components, lowers, missing, together)


def grade(score: float) -> Grade:
    """Return the name of a score."""
    return next(name for least, name in GRADES if score >= least)


def _nothing(services: int, requests: int) -> str:
    if not requests:
        return "traces with one root"
    return f"a second service: there {'is one' if services else 'is none'}"


def _score(values: Mapping[str, float]) -> float:
    return min(100 * sum(WEIGHTS[name] * value for name, value in values.items()), 100.0)


@dataclass(frozen=True)
class _Model:
    """All that the index is computed of. ``sharing`` are the services that share each shared database."""

    graph: ServiceGraph
    shapes: Shapes
    sharing: Mapping[str, tuple[str, ...]]

    @cached_property
    def reach(self) -> Reach:
        return reach(self.graph.names, self.graph.sync)

    def values(self, cut: Sequence[Edge] = (), *, gone: bool = False) -> dict[str, float]:
        """Return the value of each part, were the edges of ``cut`` async or with ``gone`` not there."""
        count, graph = len(self.graph), self._without(cut, gone=gone)
        found = self.reach if self._bridged(cut) else reach(graph.names, graph.sync)
        services, hops = needs(self.shapes, cut, gone=gone)
        return {
            "sync-ratio": sync_ratio(graph),
            "propagation-cost": (propagation_cost(found) * count - 1) / (count - 1),
            "needed-share": mean_over(self.shapes, np.maximum(services - 1, 0) / (count - 1)),
            "sync-depth": mean_over(self.shapes, np.minimum(hops / min(DEEP, count - 1), 1.0)),
            "cycles": sum(map(len, found.cycles)) / count,
            "shared-database": len(_members(self.sharing)) / count,
        }

    def _without(self, cut: Sequence[Edge], *, gone: bool) -> ServiceGraph:
        sync = {edge: weight for edge, weight in self.graph.sync.items() if edge not in cut}
        known = self.graph.asynchronous
        moved = {} if gone else {edge: self.graph.sync[edge] + known.get(edge, 0.0) for edge in cut}
        return type(self.graph)(self.graph.names, sync, {**known, **moved})

    def _bridged(self, cut: Sequence[Edge]) -> bool:
        """Tell whether without these edges their ends still reach each other as before: then all others do."""
        rest: dict[int, list[int]] = {}
        for caller, callee in self.graph.sync:
            if (caller, callee) not in cut:
                rest.setdefault(caller, []).append(callee)
        return all(_reaches(rest, *edge) for edge in cut)

    def explain(self, name: str) -> str:
        """Return what a part's value says of this system, with who causes it."""
        return _EXPLAIN[name](self)


def _reaches(calls: Mapping[int, Sequence[int]], caller: int, callee: int) -> bool:
    seen, todo = {caller}, [caller]
    while todo and callee not in seen:
        fresh = set(calls.get(todo.pop(), ())) - seen
        seen |= fresh
        todo += fresh
    return callee in seen


def _model(subject: Subject) -> _Model:
    return _Model(service_graph(subject), subject.shapes, _shared_databases(subject))


def _shared_databases(subject: Subject) -> dict[str, tuple[str, ...]]:
    """Return the databases that several services call, by name, and who does.

    One without a namespace is known by its address at most, and many databases share an address: it is left out.
    """
    graph = subject.analysed.graph
    databases, services = (graph.nodes.filter(pl.col("type") == kind) for kind in ("database", "service"))
    calls = graph.calls.filter(pl.col("callee").is_in(databases["node"].implode()) & pl.col("span").is_not_null())
    namespace = graph.forest.column("db_namespace", calls["span"].to_numpy())
    pairs = calls.filter(namespace.is_not_null()).select(node="callee", user="caller").unique()
    named = pairs.join(databases, on="node").join(services.select(user="node", service="name"), on="user")
    users = named.group_by("name").agg(pl.col("service").unique().sort()).sort("name")
    return {name: tuple(callers) for name, callers in users.iter_rows() if len(callers) > 1}


def _members(sharing: Mapping[str, Iterable[str]]) -> set[str]:
    return {service for services in sharing.values() for service in services}


def _lowers(model: _Model) -> tuple[Lowering, ...]:
    before = _score(model.values())
    most = min(max(_MOST_STEPS // (len(model.graph) + len(model.graph.sync)), 1), MOST_EDGES)
    edges = sorted(model.graph.sync, key=lambda edge: (-model.graph.sync[edge], edge))[:most]
    found = [
        Lowering(
            model.graph.name(edge),
            *(max(before - _score(model.values([edge], gone=gone)), 0.0) for gone in (False, True)),
        )
        for edge in edges
    ]
    return tuple(sorted(found, key=lambda lower: (-lower.if_async, lower.edge)))


def _together(model: _Model, names: Sequence[str]) -> Together | None:
    edges = [edge for edge in model.graph.sync if model.graph.name(edge) in names]
    return Together(tuple(names), _score(model.values(edges))) if edges else None


def _explain_ratio(model: _Model) -> str:
    sync = model.graph.sync
    total = sum(sync.values()) + sum(model.graph.asynchronous.values())
    busiest = sorted(sync, key=lambda edge: (-sync[edge], edge))[:_NAMED]
    said = f"{percent(sync_ratio(model.graph))} of {total:,.0f} calls between services are waited for"
    return f"{said}, most of them on {', '.join(map(model.graph.name, busiest))}" if busiest else said


def _explain_reach(model: _Model) -> str:
    cost, sizes, names = propagation_cost(model.reach), model.reach.sizes, model.graph.names
    said = f"a service needs {percent(cost)} of the {len(names)} services on average, itself included"
    worst = [node for node in sorted(sizes, key=lambda node: (-sizes[node], node)) if sizes[node] > 1][:_NAMED]
    needing = [f"{names[node]} needs {counted(sizes[node] - 1, 'other')}" for node in worst]
    return f"{said}; {', '.join(needing)}" if worst else said


def _explain_needs(model: _Model) -> str:
    services, _ = needs(model.shapes)
    mean = mean_over(model.shapes, services.astype(np.float64))
    return f"a request waits for {mean:.1f} of {len(model.graph)} services on average, the first included"


def _explain_depth(model: _Model) -> str:
    _, hops = needs(model.shapes)
    mean, deepest = mean_over(model.shapes, hops.astype(np.float64)), int(hops.max(initial=0))
    share = mean_over(model.shapes, (hops == deepest).astype(np.float64))
    return f"a request's longest wait has {mean:.1f} hops on average, and {deepest} in {percent(share)} of requests"


def _explain_cycles(model: _Model) -> str:
    groups = [", ".join(model.graph.names[node] for node in sorted(group)) for group in model.reach.cycles]
    return f"each needs each other among: {'; and among: '.join(groups)}" if groups else "no services need each other"


def _explain_databases(model: _Model) -> str:
    shared = [f"{name} has {len(users)} services" for name, users in model.sharing.items()]
    return "; ".join(shared) if shared else "no services share a database"


_EXPLAIN = {
    "sync-ratio": _explain_ratio,
    "propagation-cost": _explain_reach,
    "needed-share": _explain_needs,
    "sync-depth": _explain_depth,
    "cycles": _explain_cycles,
    "shared-database": _explain_databases,
}
