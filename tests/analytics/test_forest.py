"""Trees are built right from any spans."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from analytics.forest import build_forest, split_traces
from analytics.schema import RESOURCES, SPANS, TRACES, empty
from tests.analytics import oracle
from tests.analytics.frames import FORESTS, PATIENT, forest_of, resource_frame, span_frame
from tests.analytics.oracle import CLIENT, INTERNAL, SERVER, Span

if TYPE_CHECKING:
    import random

    import pytest


def span(ident: int, parent: int | None = None, **changes: object) -> Span:
    """Return a span of trace 1, service 0, from 0 to 10."""
    base = Span(trace=1, id=ident, parent_id=parent, service=0, kind=INTERNAL, start=0, duration=10)
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


@PATIENT
@given(FORESTS, st.randoms(use_true_random=False))
def test_parents_depths_and_roots_are_the_oracles_whatever_the_order_of_the_input(
    spans: list[Span], rng: random.Random
) -> None:
    """Every array agrees with a look at each span alone."""
    rng.shuffle(spans)
    forest = forest_of(spans)
    expected = oracle.trees(spans)
    place = {s: row for row, s in enumerate(expected)}
    assert forest.span_id.tolist() == [s.id for s in expected]
    assert forest.start.tolist() == [s.start for s in expected]
    assert forest.duration.tolist() == [s.duration for s in expected]
    assert forest.parent.tolist() == [place[s.parent] if s.parent else -1 for s in expected]
    tops = [_top(s) for s in expected]
    assert forest.root.tolist() == [place[top] for top, _ in tops]
    assert forest.depth.tolist() == [depth for _, depth in tops]


def _top(at: Span) -> tuple[Span, int]:
    depth = 0
    while at.parent:
        at, depth = at.parent, depth + 1
    return at, depth


@PATIENT
@given(FORESTS)
def test_traces_have_their_root_and_count_what_is_loose(spans: list[Span]) -> None:
    """Only a trace with exactly one root has one, and only one without fragments is complete."""
    forest = forest_of(spans)
    expected = oracle.trees(spans)
    for row, trace in enumerate(sorted({s.trace for s in spans})):
        mine = [s for s in expected if s.trace == trace]
        roots = [s for s in mine if not s.parent and not s.cut and s.parent_id in {None, s.id}]
        loose = sum(not s.parent for s in mine) - len(roots)
        got = forest.traces.row(row, named=True)
        root = oracle.root_of(expected, trace)
        assert got == {
            "trace": row,
            "trace_high": 0,
            "trace_low": trace,
            "root": expected.index(root) if root else None,
            "root_count": len(roots),
            "orphan_count": loose,
            "span_count": len(mine),
            "complete": len(roots) == 1 and not loose,
            "start_unix_nano": min(s.start for s in mine),
            "minute": 0,
        }
    assert forest.traces.schema == pl.Schema(TRACES)


def test_traces_that_share_half_an_id_are_two() -> None:
    """Either half may be the same, and spans may interleave."""
    ids = [(1, None), (3, 1), (5, 3), (2, None), (4, 2), (6, 4), (7, None)]
    forest = forest_of([span(i, p) for i, p in ids], trace_high=[5, 5, 5, 4, 4, 4, 4], trace_low=[7, 7, 7, 7, 7, 7, 6])
    assert forest.traces.select("trace_high", "trace_low", "span_count").rows() == [(4, 6, 1), (4, 7, 3), (5, 7, 3)]
    assert forest.parent.tolist() == [-1, -1, 1, 2, -1, 4, 5]


def test_an_exact_duplicate_counts_once_and_a_later_span_of_the_same_id_stays() -> None:
    """A retried export repeats everything; a tracer that reuses ids does not."""
    forest = forest_of([span(1), span(1), span(2, 1), span(2, 1, start=5)])
    assert (len(forest), forest.anomalies.duplicates) == (3, 1)


def test_a_server_half_goes_under_its_client_half_and_takes_the_servers_children() -> None:
    """Zipkin's instrumentation gives both halves one id, and the child of each service names it."""
    root = span(1, kind=SERVER)
    client, server = span(2, 1, kind=CLIENT), span(2, 1, kind=SERVER, service=1, start=2, duration=6)
    mine, theirs = span(3, 2, service=0), span(4, 2, service=1)
    stranger = span(5, 2, service=2)
    forest = forest_of([stranger, theirs, server, mine, client, root])
    assert forest.span_id.tolist() == [1, 2, 2, 3, 4, 5]
    assert forest.kind.tolist()[:3] == [SERVER, CLIENT, SERVER]
    assert forest.parent.tolist() == [-1, 0, 1, 1, 2, 2]
    assert forest.anomalies.shared_ids == 1


def test_of_several_halves_with_one_id_the_second_goes_under_the_second() -> None:
    """A tracer that reuses an id for two calls; a server half too many goes under the last client half."""
    clients = [span(2, 1, kind=CLIENT, start=start) for start in (0, 20)]
    servers = [span(2, 1, kind=SERVER, service=1, start=start) for start in (5, 25, 30)]
    forest = forest_of([span(1, duration=50), *clients, *servers])
    assert forest.start.tolist() == [0, 0, 5, 20, 25, 30]
    assert forest.parent.tolist() == [-1, 0, 1, 0, 3, 3]


def test_a_server_half_cut_from_a_cycle_is_no_root() -> None:
    """It names no parent, but it had one: its client half, which is below it."""
    server, client = span(2, kind=SERVER, service=1), span(2, 3, kind=CLIENT, start=5)
    forest = forest_of([server, client, span(3, 2, service=1)])
    assert forest.parent.tolist() == [-1, 2, 0]
    assert forest.traces.select("root_count", "orphan_count").rows() == [(0, 1)]


def test_everything_wrong_is_counted() -> None:
    """Each flaw has its counter."""
    spans = [
        span(1),
        span(2, 77),  # nobody
        span(3, 3),  # itself, so a second root
        span(4, 5, start=3),
        span(5, 4, start=2),
        span(6, 1, duration=-5),
        span(7, 1, start=-4),
        dataclasses.replace(span(8, 1), trace=2),  # its parent is in another trace
    ]
    anomalies = forest_of(spans).anomalies
    assert dataclasses.asdict(anomalies) == {
        "duplicates": 0,
        "shared_ids": 0,
        "self_parents": 1,
        "cycles": 1,
        "orphans": 2,
        "ended_before_start": 1,
        "out_of_range": 1,
        "zero_length": 1,
        "without_root": 1,
        "several_roots": 1,
    }


def test_a_cycle_is_cut_above_its_earliest_span() -> None:
    """What hangs below the cycle stays below it."""
    forest = forest_of([span(1, 3, start=5), span(2, 1, start=3), span(3, 2, start=4), span(4, 1)])
    assert forest.parent.tolist() == [2, -1, 1, 0]
    assert forest.traces["complete"].to_list() == [False]


def test_parents_are_found_when_all_ids_share_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that joins spans and parents may collide."""
    monkeypatch.setattr("analytics.parents._MULTIPLIER", np.uint64(1))
    spans = [
        dataclasses.replace(span(i ^ t, p and p ^ t), trace=t + 1) for t in range(3) for i, p in ((4, None), (8, 4))
    ]
    forest = forest_of(spans)
    assert forest.parent.tolist() == [-1, 0, -1, 2, -1, 4]


def test_parts_hold_whole_traces_and_together_everything() -> None:
    """Whatever the order of spans and the number of parts."""
    spans = span_frame([span(i, trace=t) for i in range(1, 6) for t in range(1, 21)])
    parts = split_traces(spans, rows=30)
    assert len(parts) == 4
    assert pl.concat(parts).sort("trace_low", "span_id").equals(spans.sort("trace_low", "span_id"))
    traces = [set(part["trace_low"]) for part in parts]
    assert sum(map(len, traces)) == len(set.union(*traces))
    assert [part.height for part in split_traces(spans[:0])] == [0]


def test_no_spans_make_an_empty_forest() -> None:
    """Neither spans nor resources are needed."""
    forest = build_forest(empty(SPANS), empty(RESOURCES))
    assert len(forest) == 0
    assert forest.traces.equals(empty(TRACES))
    assert not any(dataclasses.asdict(forest.anomalies).values())


def test_a_service_without_a_name_and_an_unknown_resource_are_one_unknown_service() -> None:
    """A null, an empty name and a resource that nobody described."""
    resources = resource_frame().with_columns(pl.Series("service", [None, "", *["a"] * 7]))
    spans = span_frame([span(1), span(2, 1), span(3, 1), span(4, 1)], resource=[0, 1, 500, None])
    forest = build_forest(spans, resources)
    assert forest.origins.services["service"].gather(forest.service).to_list() == ["unknown_service"] * 4


def test_services_differ_by_namespace_and_environment_and_hosts_fall_back_to_the_instance() -> None:
    """The same name elsewhere is another service."""
    resources = pl.DataFrame(
        {
            "resource": [0, 1, 2, 3],
            "environment": ["prod", "prod", "test", "test"],
            "namespace": ["a", "b", "a", "a"],
            "service": ["cart"] * 4,
            "instance": ["i", "i", "j", None],
            "host": ["h", None, None, None],
        }
    )
    forest = build_forest(span_frame([span(i) for i in range(1, 5)], resource=[0, 1, 2, 3]), resources)
    assert forest.service.tolist() == [0, 1, 2, 2]
    assert forest.origins.hosts.gather(forest.host).to_list() == ["h", "i", "j", "test/a/cart"]


def test_a_chain_of_ten_thousand_and_times_out_of_range_do_no_harm() -> None:
    """Depth is limited by nothing, and 64-bit times do not wrap."""
    chain = [span(i, i - 1 or None, start=2**63 - 5) for i in range(1, 10_001)]
    forest = forest_of(chain)
    assert forest.depth.tolist() == list(range(10_000))
    assert forest.end.max() == 2**63 - 1
