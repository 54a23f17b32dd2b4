"""The methods once more, span by span and recursive: slow, short and plainly what the definitions say."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(1, 6)
MINUTE = 60_000_000_000


@dataclass(eq=False)
class Span:
    """A span; ``shift`` is what skew correction adds to its start."""

    trace: int
    id: int
    parent_id: int | None
    service: int
    kind: int
    start: int
    duration: int
    host: int = 0
    name: str = "op"
    peer: str | None = None
    parent: Span | None = None
    children: list[Span] = field(default_factory=list)
    shift: int = 0
    cut: bool = False

    @property
    def begin(self) -> int:
        """Where it starts, corrected."""
        return self.start + self.shift

    @property
    def end(self) -> int:
        """Where it ends, corrected."""
        return self.begin + self.duration


Section = tuple[Span, int, int]


def trees(spans: list[Span]) -> list[Span]:
    """Return the distinct spans in the forest's order, with parents and children, cycles cut."""
    for span in spans:
        span.duration = max(span.duration, 0)
    distinct: dict[tuple[int, ...], Span] = {}
    for span in sorted(spans, key=lambda s: (*_order(s), s.parent_id or 0)):
        distinct.setdefault(_order(span), span)
    forest = list(distinct.values())
    for span in forest:
        span.parent = _parent(span, [other for other in forest if other.trace == span.trace])
    for span in forest:
        cycle = _cycle(span)
        if cycle and span is min(cycle, key=lambda s: (s.start, forest.index(s))):
            span.parent, span.cut = None, True
    for span in forest:
        if span.parent:
            span.parent.children.append(span)
    return forest


def _order(span: Span) -> tuple[int, ...]:
    return (span.trace, span.id, span.start, span.duration, span.kind, span.service)


def _parent(span: Span, others: list[Span]) -> Span | None:
    twins = [other for other in others if other.id == span.id]
    clients = [twin for twin in twins if twin.kind == CLIENT]
    if span.kind == SERVER and clients:
        place = [twin for twin in twins if twin.kind == SERVER].index(span)
        return clients[min(place, len(clients) - 1)]
    found = [other for other in others if other.id == span.parent_id != span.id]
    best = [*(f for f in found if f.service == span.service), *(f for f in found if f.kind == SERVER), *found]
    both = [f for f in found if f.service == span.service and f.kind == SERVER]
    return (both + best)[0] if found else None


def _cycle(span: Span) -> list[Span]:
    """Return the cycle that the span is on, empty if on none."""
    path, at = [span], span.parent
    while at and at not in path:
        path.append(at)
        at = at.parent
    return path if at is span else []


def correct_skew(forest: list[Span]) -> None:
    """Set every span's shift."""
    offsets: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
    for child in forest:
        parent = child.parent
        if (
            parent
            and parent.host != child.host
            and (parent.kind, child.kind) == (CLIENT, SERVER)
            and child.duration <= parent.duration
        ):
            offsets.setdefault(_pair(parent, child), []).append(_bounds(parent, child))
    for span in forest:
        span.shift = _shift(span, {pair: _feasible(bounds) for pair, bounds in offsets.items()})


def _pair(parent: Span, child: Span) -> tuple[int, int, int]:
    return parent.host, child.host, parent.start // MINUTE


def _bounds(parent: Span, child: Span) -> tuple[int, int]:
    return parent.start - child.start, parent.start + parent.duration - child.start - child.duration


def _feasible(bounds: list[tuple[int, int]]) -> int | None:
    lower, upper = max(low for low, _ in bounds), min(high for _, high in bounds)
    if lower > upper:
        return None
    return 0 if lower <= 0 <= upper else (lower + upper) // 2


def _shift(span: Span, offsets: dict[tuple[int, int, int], int | None]) -> int:
    parent = span.parent
    if not parent:
        return 0
    if parent.host == span.host:
        return _shift(parent, offsets)
    if parent.kind == PRODUCER or span.kind == CONSUMER:
        return 0
    offset = offsets.get(_pair(parent, span))
    if offset is None:
        offset = _jaeger(parent, span)
    return _shift(parent, offsets) + offset


def _jaeger(parent: Span, child: Span) -> int:
    lower, upper = _bounds(parent, child)
    if child.duration > parent.duration:
        return 0 if parent.start <= child.start < parent.start + parent.duration else lower
    return 0 if lower <= 0 <= upper else (lower + upper) // 2


def root_of(forest: list[Span], trace: int) -> Span | None:
    """Return the trace's root if it has exactly one."""
    roots = [s for s in forest if s.trace == trace and not s.parent and not s.cut and s.parent_id in {None, s.id}]
    return roots[0] if len(roots) == 1 else None


def critical_path(root: Span, tolerance: float = 0.0) -> list[Section]:
    """Return the sections, newest first; touching ones of one span are one, empty ones are none."""
    sections: list[Section] = []

    def emit(span: Span, begin: int, end: int, limit: int) -> None:
        end = min(end, limit)
        if begin >= end:
            return
        if sections and sections[-1][0] is span and sections[-1][1] == end:
            sections[-1] = (span, begin, sections[-1][2])
        else:
            sections.append((span, begin, end))

    def walk(span: Span, low: int, high: int, limit: int) -> None:
        until = high
        children = [
            (max(c.begin, low), min(c.end, high), c)
            for c in span.children
            if c.begin < high and c.end > low and not (span.kind == PRODUCER and c.kind == CONSUMER)
        ]
        for begin, end, child in sorted(children, key=lambda c: (-c[1], -c[0], c[2].id, order[c[2]])):
            if end > until + int(span.duration * tolerance) or (begin >= until and begin < end):
                continue
            emit(span, end, until, limit)
            walk(child, begin, end, min(limit, until))
            until = min(until, begin)
        emit(span, low, until, limit)

    order = {span: place for place, span in enumerate(_descendants(root))}
    walk(root, root.begin, root.end, root.end)
    return sections


def _descendants(span: Span) -> list[Span]:
    return [span, *(d for c in span.children for d in _descendants(c))]


def self_time(span: Span) -> int:
    """Return the duration less what children cover, nanosecond by nanosecond."""
    covered = {t for c in span.children for t in range(max(c.begin, span.begin), min(c.end, span.end))}
    return span.duration - len(covered)


def attribute(sections: list[Section], forest: list[Span]) -> list[tuple[Any, ...]]:
    """Return each section's node: ("service", s), ("edge", a, b, side) or ("peer", name)."""
    on_path = _on_path(sections)
    return [_node(section, sections, on_path, forest) for section in sections]


def _on_path(sections: list[Section]) -> set[Span]:
    visited: set[Span] = set()
    for span, _, _ in sections:
        at: Span | None = span
        while at:
            visited.add(at)
            at = at.parent
    return visited


def _node(section: Section, sections: list[Section], on_path: set[Span], forest: list[Span]) -> tuple[Any, ...]:
    span = section[0]
    _, callee = callee_of(span, on_path, forest)
    if callee is None:
        waits = span.kind in {CLIENT, PRODUCER} and span.peer
        return ("peer", span.peer) if waits else ("service", span.service)
    inside = [c for c in span.children if c in on_path]
    times = [b for s, b, _ in sections for c in inside if s in _descendants(c)]
    side = None if not inside else "request" if any(b >= section[2] for b in times) else "response"
    return ("edge", span.service, callee, side)


def callee_of(span: Span, on_path: set[Span], forest: list[Span]) -> tuple[int, int | None]:
    """Return the service that answers a span, None if it is not the client side of a call, and how far inside it is."""
    if span.kind == CLIENT:
        answers = [c for c in span.children if (c.service != span.service or c.kind == SERVER) and c.kind != CONSUMER]
        if answers:
            return 0, max(answers, key=lambda c: (c in on_path, c.end, forest.index(c))).service
        inner = [c for c in span.children if c.kind == CLIENT and c.service == span.service]
        found = [(*callee_of(c, on_path, forest), forest.index(c)) for c in inner]
        called = [(-far, place, callee) for far, callee, place in found if callee is not None]
        return (1 - max(called)[0], max(called)[2]) if called else (0, None)
    inside = [c for c in span.children if c in on_path]
    return 0, inside[0].service if len(inside) == 1 and inside[0].service != span.service else None


def quantile(values: list[tuple[float, int]], q: float) -> float:
    """Return the linearly interpolated quantile of values with whole weights, by writing each as often as it weighs."""
    copies = sorted(value for value, weight in values for _ in range(weight))
    place = Fraction(q).limit_denominator(1000) * (len(copies) - 1)
    low = int(place)
    high = min(low + 1, len(copies) - 1)
    return copies[low] + (copies[high] - copies[low]) * float(place - low)


@dataclass
class Request:
    """A trace of one endpoint: its latency, its weight, and how long it waited for each node."""

    latency: int
    weight: int
    nodes: dict[object, int]


def contributions(requests: list[Request]) -> dict[str, dict[object, float | None]]:
    """Return for each measure the nodes' values in nanoseconds; the key None stands for the latency."""
    latencies = [(float(r.latency), r.weight) for r in requests]
    low, high, tail = (quantile(latencies, q) for q in (0.4, 0.6, 0.95))
    parts = {
        "all": requests,
        "middle": [r for r in requests if low <= r.latency <= high],
        "tail": [r for r in requests if r.latency >= tail],
    }
    return {name: _means(part, {n for r in requests for n in r.nodes}) for name, part in parts.items()}


def _means(requests: list[Request], nodes: set[object]) -> dict[object, float | None]:
    weight = sum(r.weight for r in requests)
    if not weight:
        return dict.fromkeys([*nodes, None])
    means = {node: sum(r.weight * r.nodes.get(node, 0) for r in requests) / weight for node in nodes}
    return {**means, None: sum(r.weight * r.latency for r in requests) / weight}
