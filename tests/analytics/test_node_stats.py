"""What a node does is what its spans say, counted one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings

from analytics.calls import CallGraph, find_calls
from analytics.entries import entry_of
from analytics.node_stats import node_stats
from analytics.schema import LINKS, empty
from analytics.service_schema import NODE_STATS
from tests.analytics import errors_oracle, graph_oracle, oracle
from tests.analytics.frames import FORESTS, PATIENT, forest_of
from tests.analytics.graph_oracle import attributes
from tests.analytics.oracle import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Span
from tests.analytics.test_graph import saying_forest

if TYPE_CHECKING:
    from analytics.forest import Forest

WEIGHTS = [1.0, 3.0]


def graph_of(forest: Forest) -> CallGraph:
    """Return the call graph without links; traces weigh 1 and 3."""
    return find_calls(forest, empty(LINKS), np.array(WEIGHTS[: forest.traces.height]))


def is_entry(span: Span) -> bool:
    """Tell whether a request enters the service here."""
    if graph_oracle.polls(span):
        return False
    parent = span.parent
    alone = parent is None or parent.service != span.service
    return alone or graph_oracle.takes(span) or (span.kind == SERVER and parent is not None and parent.kind == CLIENT)


def blocks(span: Span, root: Span | None) -> bool:
    """Tell whether the root waited for the span."""
    parent = span.parent
    if span is root or parent is None:
        return span is root
    foreign = span.service != parent.service
    if graph_oracle.takes(span) and (foreign or graph_oracle.sends(parent)):
        return False
    if graph_oracle.sends(parent) and foreign:
        return False
    return span.begin < parent.end and blocks(parent, root)


@settings(PATIENT, max_examples=60)
@given(FORESTS)
def test_nodes_are_the_oracles(spans: list[Span]) -> None:
    """Entries, load, latency and how many requests need a node."""
    forest = saying_forest(spans)
    graph = graph_of(forest)
    trees = oracle.trees(spans)
    entries = [is_entry(span) for span in trees]
    assert list(graph.entries) == entries
    assert entry_of(forest, graph.entries).tolist() == [
        errors_oracle.entry(row, trees, entries) for row in range(len(trees))
    ]
    roots = {trace: oracle.root_of(trees, trace) for trace in (1, 2)}
    waited = [blocks(span, roots[span.trace]) for span in trees]
    assert list(graph.blocking) == waited
    total = sum(WEIGHTS[trace - 1] for trace, root in roots.items() if root)
    for row in node_stats(graph, np.array(WEIGHTS[: forest.traces.height]), 1000).iter_rows(named=True):
        work = _work(graph, trees, entries, row)
        assert row["calls"] == len(work)
        assert row["weight"] == sum(weight for _, weight, _ in work)
        assert row["errors"] == sum(weight for _, weight, failed in work if failed)
        assert row["concurrency"] == pytest.approx(sum(ns * weight for ns, weight, _ in work) / 1000)
        if work:
            latencies = [(float(ns), int(weight)) for ns, weight, _ in work]
            assert row["p99_ms"] == pytest.approx(oracle.quantile(latencies, 0.99) / 1e6)
        if row["type"] == "user" or not total:
            assert row["blast_radius"] is None
        else:
            assert row["blast_radius"] == pytest.approx(_needed(graph, trees, waited, row["node"]) / total)


def _work(
    graph: CallGraph, trees: list[Span], entries: list[bool], row: dict[str, Any]
) -> list[tuple[int, float, bool]]:
    """Return duration, weight and failure of a service's entries, or of the calls to another node."""
    if row["type"] == "service":
        return [
            (span.duration, WEIGHTS[span.trace - 1], attributes(span).get("status") == "error")
            for span, entry in zip(trees, entries, strict=True)
            if entry and span.service == row["node"]
        ]
    calls = graph.calls.filter(callee=row["node"]).iter_rows(named=True)
    return [(call["client_ns"] or 0, call["weight"], bool(call["client_failed"])) for call in calls]


def _needed(graph: CallGraph, trees: list[Span], waited: list[bool], node: int) -> float:
    """Return the weight of the traces that wait for the node."""
    needing = {span.trace for span, wait in zip(trees, waited, strict=True) if wait and span.service == node}
    for call in graph.calls.filter(callee=node, mode="sync").iter_rows(named=True):
        if call["answer"] is None and waited[call["span"]]:
            needing.add(trees[call["span"]].trace)
    return sum(WEIGHTS[trace - 1] for trace in needing)


def stats_of(spans: list[Span], **columns: Any) -> dict[str, dict[str, Any]]:
    """Return rows by node."""
    graph = graph_of(forest_of(spans, **columns))
    return {r["name"]: r for r in node_stats(graph, np.ones(graph.forest.traces.height)).iter_rows(named=True)}


def test_neighbours_are_others_and_users_are_none() -> None:
    """A service that calls itself is not coupled more."""
    spans = [
        Span(1, 1, None, 0, SERVER, 0, 100),
        Span(1, 2, 1, 0, CLIENT, 0, 50, peer="x"),
        Span(1, 3, 1, 0, CLIENT, 50, 50),
        Span(1, 4, 3, 0, SERVER, 60, 30),
        Span(1, 5, 1, 0, CLIENT, 60, 30),
        Span(1, 6, 5, 1, SERVER, 65, 5),
    ]
    stats = stats_of(spans)
    found = {n: (r["fan_in"], r["fan_out"], r["instability"]) for n, r in stats.items()}
    assert stats["s0"]["calls"] == 2
    assert found == {
        "s0": (0, 2, 1.0),
        "s1": (1, 0, 0.0),
        "x": (1, 0, 0.0),
        "user": (0, 0, None),
    }


def test_what_a_message_sets_off_blocks_nobody() -> None:
    """The queue's consumer and all below it; a missing server is needed all the same."""
    spans = [
        Span(1, 1, None, 0, SERVER, 0, 100),
        Span(1, 2, 1, 0, PRODUCER, 0, 90),
        Span(1, 3, 2, 1, CONSUMER, 10, 50),
        Span(1, 4, 3, 1, CLIENT, 20, 20, peer="x"),
        Span(1, 5, 1, 0, CLIENT, 60, 30, peer="y"),
    ]
    found = {name: row["blast_radius"] for name, row in stats_of(spans).items()}
    assert (found["s0"], found["s1"], found["x"], found["y"], found["user"]) == (1.0, 0.0, 0.0, 1.0, None)
    later = [spans[0], Span(1, 2, 1, 1, SERVER, 100, 10)]
    assert stats_of(later)["s1"]["blast_radius"] == 0.0


def test_a_trace_without_one_root_is_no_request() -> None:
    """Then nobody knows what was needed."""
    found = stats_of([Span(1, 1, 9, 0, INTERNAL, 0, 100)])["s0"]
    assert (found["calls"], found["blast_radius"], found["p99_known"]) == (1, None, False)


def test_no_spans_have_no_stats() -> None:
    """With all columns."""
    graph = graph_of(forest_of([]))
    assert node_stats(graph, np.ones(0)).equals(empty(NODE_STATS))
    one = stats_of([Span(1, 1, None, 0, CLIENT, 0, 0)])["s0"]
    assert (one["calls"], one["p50_ms"], one["concurrency"], one["blast_radius"]) == (1, 0.0, None, 1.0)
