"""Attempts and errors once more, request by request, over the rows of CALLS."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.analytics.graph_oracle import attributes

if TYPE_CHECKING:
    from analytics.calls import CallGraph
    from tests.analytics.oracle import Span

Call = dict[str, Any]


def seen(call: Call) -> bool:
    """Tell whether the caller saw the call fail."""
    return bool(call["client_failed"] or (call["server_failed"] and call["mode"] == "sync"))


def resends(call: Call, forest: list[Span]) -> int:
    """Return how often the call was sent before as the caller's span says."""
    own = call["mode"] == "sync" and call["client_ns"] is not None
    return int(attributes(forest[call["span"]]).get("resend_count") or 0) if own else 0


def retried(calls: list[Call], forest: list[Span]) -> dict[int, int | None]:
    """Return for each call, by its place, the place of the call that it repeats, None when that is not to be seen."""
    found: dict[int, int | None] = {place: None for place, call in enumerate(calls) if resends(call, forest) > 0}
    groups: dict[Any, list[int]] = {}
    for place, call in enumerate(calls):
        key = _group(call, forest)
        if key is not None:
            groups.setdefault(key, []).append(place)
    for places in groups.values():
        ordered = sorted(places, key=lambda p: (*_time(calls[p], forest), p))
        found |= {
            two: one
            for one, two in pairwise(ordered)
            if seen(calls[one])
            and _time(calls[one], forest)[1] <= _time(calls[two], forest)[0]
            and _agree(calls[one], calls[two], forest)
            and not _loops(_what(calls[one], calls[two], forest), groups, calls, forest)
        }
    return found


def _answer(call: Call, forest: list[Span]) -> Any:
    return None if call["answer"] is None else (forest[call["answer"]].name,)


def _what(one: Call, two: Call, forest: list[Span]) -> Any:
    """Return what a pair asks for: callee, operation and the name of the answer, of which either may have one."""
    key = _group(one, forest)
    assert key is not None
    return (*key[2:], _answer(one, forest) or _answer(two, forest))


def _loops(what: Any, groups: dict[Any, list[int]], calls: list[Call], forest: list[Span]) -> bool:
    """Tell whether more than a fifth of the spans that ask for this, and see no failure, do so several times."""
    sizes: list[int] = []
    for key, places in groups.items():
        mine = [calls[p] for p in places if (*key[2:], _answer(calls[p], forest)) == what]
        if mine and not any(seen(call) for call in mine):
            sizes.append(len(mine))
    return bool(sizes) and sum(size > 1 for size in sizes) > 0.2 * len(sizes)


def number(place: int, repeats: dict[int, int | None], calls: list[Call], forest: list[Span]) -> int:
    """Return which attempt a call is, from 1."""
    earlier = repeats.get(place)
    told = resends(calls[place], forest)
    seen_before = 0
    while earlier is not None:
        seen_before, earlier = seen_before + 1, repeats.get(earlier)
    return 1 + max(told, seen_before)


def _agree(one: Call, two: Call, forest: list[Span]) -> bool:
    answers = [forest[call["answer"]].name for call in (one, two) if call["answer"] is not None]
    return len(answers) < len((one, two)) or answers[0] == answers[1]


def _group(call: Call, forest: list[Span]) -> Any:
    if call["mode"] != "sync" or call["span"] is None:
        return None
    span = forest[call["span"]]
    if call["client_ns"] is None:
        return ("inside", call["span"], call["callee"], forest[call["answer"]].name)
    return ("beside", forest.index(span.parent), call["callee"], span.name) if span.parent else None


def _time(call: Call, forest: list[Span]) -> tuple[int, int]:
    span = forest[call["span"] if call["client_ns"] is not None else call["answer"]]
    return span.begin, span.end


def entry(row: int, forest: list[Span], entries: list[bool]) -> int:
    """Return the row of the entry that a span works for, else of the farthest ancestor in its service."""
    parent = forest[row].parent
    if entries[row] or parent is None or parent.service != forest[row].service:
        return row
    return entry(forest.index(parent), forest, entries)


def service_errors(
    graph: CallGraph, forest: list[Span], failed: list[bool], weights: list[float]
) -> dict[int, list[float]]:
    """Return by service requests, weight, errors, originated, propagated and suppressed ones."""
    calls, entries = list(graph.calls.iter_rows(named=True)), list(graph.entries)
    repeats = retried(calls, forest)
    found: dict[int, list[float]] = {}
    for row in (row for row, is_entry in enumerate(entries) if is_entry):
        mine = [c for c in _made(calls) if entry(calls[c]["span"], forest, entries) == row and seen(calls[c])]
        last = [c for c in mine if c not in repeats.values()]
        weight = weights[forest[row].trace - 1]
        sums = found.setdefault(forest[row].service, [0.0] * 6)
        flags = (failed[row], failed[row] and not last, failed[row] and last, not failed[row] and mine)
        for place, value in enumerate([1, weight, *(weight if flag else 0 for flag in flags)]):
            sums[place] += value
    return found


def _made(calls: list[Call]) -> list[int]:
    return [place for place, call in enumerate(calls) if call["span"] is not None]


def propagation(
    graph: CallGraph, forest: list[Span], failed: list[bool], weights: list[float]
) -> dict[tuple[int, int], tuple[int, float, int, float]]:
    """Return by caller and callee of sync calls how many requests had failed last attempts, and the share that failed.

    And the same of the requests with other calls only.
    """
    calls, entries = list(graph.calls.iter_rows(named=True)), list(graph.entries)
    repeated = set(retried(calls, forest).values())
    requests: dict[tuple[int, int], dict[int, bool]] = {}
    for place in _made(calls):
        call = calls[place]
        if call["mode"] == "sync":
            row = entry(call["span"], forest, entries)
            hits = requests.setdefault((call["caller"], call["callee"]), {})
            hits[row] = hits.get(row, False) or (seen(call) and place not in repeated)
    result = {}
    for edge, hits in requests.items():
        parts = []
        for wanted in (True, False):
            rows = [row for row, hit in hits.items() if hit == wanted]
            weight = sum(weights[forest[row].trace - 1] for row in rows)
            of_failed = sum(weights[forest[row].trace - 1] for row in rows if failed[row])
            parts += [len(rows), of_failed / weight if weight else 0.0]
        result[edge] = (int(parts[0]), parts[1], int(parts[2]), parts[3])
    return result
