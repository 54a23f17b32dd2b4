"""Findings: what a rule looks at, and what it says."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from analytics.entries import entry_of
from analytics.graph import service_edges, without_queues
from analytics.schema import empty
from analytics.service_schema import RESOURCE_MINUTES
from analytics.shapes import find_shapes
from analytics.statements import read_statements
from analytics.stretches import edge_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import polars as pl

    from analytics.analysis import Analysed
    from analytics.arrays import Rows
    from analytics.calls import CallGraph
    from analytics.shapes import Shapes
    from analytics.statements import Statements
    from analytics.stretches import EdgeCalls

Severity: TypeAlias = Literal["info", "warning", "critical"]
Status: TypeAlias = Literal["found", "unknown"]
Evidence: TypeAlias = "dict[str, float | int | bool | str | None]"

MOST_TRACES = 5
"""Traces that a finding names."""


@dataclass(frozen=True)
class Subject:
    """What rules look at: the traces of one environment, and what was computed of them once for all rules.

    ``resources`` is RESOURCE_USE and ``saturation`` SATURATION of the same window, ``minutes`` the RESOURCE_MINUTES
    that both are made of; all are empty where no metrics came.
    """

    analysed: Analysed
    resources: pl.DataFrame
    saturation: pl.DataFrame
    minutes: pl.DataFrame = field(default_factory=lambda: empty(RESOURCE_MINUTES))

    @cached_property
    def direct(self) -> CallGraph:
        """The calls from service to service, messages too: queues are left out."""
        return without_queues(self.analysed.graph)

    @cached_property
    def direct_edges(self) -> pl.DataFrame:
        """EDGES of ``direct``."""
        return service_edges(self.direct, self.analysed.weights)

    @cached_property
    def entry(self) -> Rows:
        """For each span the row of the entry that it works for, as ``entry_of`` has it."""
        return entry_of(self.analysed.forest, self.analysed.graph.entries)

    @cached_property
    def statements(self) -> Statements:
        """What the spans that talk to databases say."""
        return read_statements(self.analysed.forest)

    @cached_property
    def shapes(self) -> Shapes:
        """Who waits for whom in the traces, probes left out."""
        return find_shapes(self.analysed.graph, self.analysed.weights)

    @cached_property
    def edge_calls(self) -> EdgeCalls:
        """The calls that services make and wait for, in stretches."""
        return edge_calls(self.analysed.graph, self.analysed.attempts, self.entry)

    def trace_ids(self, traces: Iterable[int]) -> tuple[str, ...]:
        """Return the ids of the first distinct MOST_TRACES of these traces (rows of TRACES) as hexadecimal digits."""
        chosen: dict[int, None] = {}
        for trace in traces:  # there may be as many as requests: only so many are looked at
            chosen[int(trace)] = None
            if len(chosen) == MOST_TRACES:
                break
        high, low = (self.analysed.forest.traces[half] for half in ("trace_high", "trace_low"))
        return tuple(f"{high[trace]:016x}{low[trace]:016x}" for trace in chosen)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a rule found, as the contract's ``findings`` have it.

    ``score`` is 0 to 1 and orders findings of one severity. ``edges`` are "caller->callee". ``evidence`` holds the
    numbers that were compared and the limits that they were compared with.
    """

    rule: str
    severity: Severity
    score: float
    title: str
    services: tuple[str, ...] = ()
    edges: tuple[str, ...] = ()
    evidence: Evidence = field(default_factory=dict)
    trace_ids: tuple[str, ...] = ()
    advice: str = ""
    status: Status = "found"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its name in the contract, the class of its limits, and what finds.

    ``limits`` is a frozen dataclass of numbers whose defaults are documented; ``find`` returns what it found, worst
    first, nothing when it finds nothing wrong, and one ``unknown_finding`` when it cannot tell. ``needs`` say in words
    what is missing for nothing found to mean that nothing is wrong, None when it is there
    (``analytics.rules.requisites``).
    """

    name: str
    limits: type[Any]
    find: Callable[[Subject, Any], list[Finding]]
    needs: tuple[Callable[[Subject], str | None], ...] = ()

    def judge(self, subject: Subject, limits: Any) -> list[Finding]:
        """Return what ``find`` does, and one ``unknown_finding`` in place of nothing that rests on nothing."""
        if found := self.find(subject, limits):
            return found
        missing = next(filter(None, (need(subject) for need in self.needs)), None)
        return [unknown_finding(self.name, missing)] if missing else []


def unknown_finding(rule: str, missing: str, **evidence: float | str | None) -> Finding:
    """Return what a rule says that has too little data; ``missing`` completes "unknown: "."""
    return Finding(rule, "info", 0.0, f"Unknown: {missing}", evidence=dict(evidence), status="unknown")


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings by severity, then score, then rule; what is unknown comes last."""
    order = ("critical", "warning", "info")
    return sorted(findings, key=lambda f: (f.status == "unknown", order.index(f.severity), -f.score, f.rule, f.title))


def describe_finding(finding: Finding) -> dict[str, Any]:
    """Return the contract's object of a finding, keys in the contract's order."""
    found = asdict(finding)
    keys = ("rule", "status", "severity", "score", "title", "services", "edges", "evidence", "trace_ids", "advice")
    return {key: list(found[key]) if isinstance(found[key], tuple) else found[key] for key in keys}
