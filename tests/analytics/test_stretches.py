"""Calls are cut into stretches by their number, and what is usual comes from the stretches that were well."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings

from analytics.stretches import STRETCH, says_open
from tests.analytics.frames import FORESTS, PATIENT
from tests.analytics.loaded import clean, loaded
from tests.analytics.oracle import CLIENT, SERVER, Span
from tests.analytics.rules.test_any_spans import subject_of_spans
from tests.analytics.systems.simulator import Failing, Slow

MS = 1_000_000


@settings(PATIENT, max_examples=40)
@given(FORESTS)
def test_each_call_that_is_waited_for_is_in_it_once(spans: list[Span]) -> None:
    """Those between services and to external systems, in the order of edges and time."""
    subject = subject_of_spans(spans, status=["error" if s.id % 2 else "unset" for s in spans])
    graph, calls = subject.analysed.graph, subject.edge_calls.calls
    types = graph.nodes["type"].to_list()
    wanted = [
        place
        for place, call in enumerate(graph.calls.iter_rows(named=True))
        if call["mode"] == "sync" and call["span"] is not None and call["caller"] != call["callee"]
        and types[call["caller"]] == "service" and types[call["callee"]] in {"service", "external"}
    ]  # fmt: skip
    assert sorted(calls["call"]) == wanted
    assert calls.select("edge", "begin").rows() == sorted(calls.select("edge", "begin").rows())
    forest = subject.analysed.forest
    for row in calls.iter_rows(named=True):
        assert (row["begin"], row["ns"]) == (forest.start[row["timed"]], forest.duration[row["timed"]])


@pytest.mark.parametrize("count", [1, 19, 20, 21, 39, 40, 100, 119])
def test_stretches_have_twenty_calls_and_the_last_one_the_rest(count: int) -> None:
    """So that no stretch is too short to be judged, unless the edge is."""
    frames = subject_of_spans(outside(range(count))).edge_calls
    sizes = [len(list(group)) for _, group in groupby(frames.calls["stretch"])]
    assert sizes == frames.stretches["calls"].to_list()
    assert sum(sizes) == count
    assert all(size == STRETCH for size in sizes[:-1])
    assert sizes[-1] < 2 * STRETCH
    assert sizes[-1] >= min(count, STRETCH)
    for one, other in pairwise(frames.stretches.iter_rows(named=True)):
        assert one["until"] == other["begin"]


def outside(seconds: range, ms: int = 10) -> list[Span]:
    """A request each of these seconds that calls an external system."""
    spans = []
    for number, second in enumerate(seconds):
        begin = second * 1000 * MS
        spans.append(Span(number + 1, 1, None, 0, SERVER, begin, 2 * ms * MS))
        spans.append(Span(number + 1, 2, 1, 0, CLIENT, begin + MS, ms * MS, peer="x"))
    return spans


@pytest.mark.parametrize("seed", range(5))
def test_what_is_usual_is_not_what_was_wrong(seed: int) -> None:
    """Half of the time slow, or failing at once: the p99 stays about what it is without."""
    system = loaded(seed)
    for fault in (Slow(service=system.callee, ms=200, from_s=6), Failing(service=system.callee, share=1, from_s=6)):
        well, ill = (
            _baseline(subject, system.caller, system.callee) for subject in (clean(seed), system.subject(seed, fault))
        )
        assert ill["p50_ms"] == pytest.approx(well["p50_ms"], rel=0.1)
        assert ill["p99_ms"] == pytest.approx(well["p99_ms"], rel=0.4)
        assert ill["error_rate"] == 0


def _baseline(subject: Any, caller: str, callee: str) -> dict[str, Any]:
    edges = subject.analysed.edges.filter(caller=caller, callee=callee, mode="sync")
    row: dict[str, Any] = subject.edge_calls.baselines.join(edges.select("edge"), on="edge").row(0, named=True)
    return row


def test_a_failing_callee_that_answers_at_once_is_not_what_is_usual() -> None:
    """Though it failed for most of the time."""
    spans = [*outside(range(300), 1), *(replaced(span, 300) for span in outside(range(300, 400), 20))]
    status = ["error" if span.kind == CLIENT and span.trace <= 300 else "ok" for span in spans]
    (usual,) = subject_of_spans(spans, status=status).edge_calls.baselines.iter_rows(named=True)
    assert (usual["calls"], usual["p50_ms"], usual["error_rate"]) == (100, 20.0, 0.0)


def test_calls_that_hang_together_are_not_what_is_usual() -> None:
    """Four take 3 s one after the other; where all the others are too few to tell, nothing else is known."""

    def usual(others: int) -> dict[str, Any]:
        spans = [*outside(range(others), 20), *(replaced(span, others) for span in outside(range(4), 3000))]
        (row,) = subject_of_spans(spans).edge_calls.baselines.iter_rows(named=True)
        return row

    assert (usual(296)["p99_ms"], usual(76)["p99_ms"]) == (20.0, 3000.0)


def replaced(span: Span, later: int) -> Span:
    """The span in a trace of its own."""
    span.trace += later
    return span


def test_errors_of_breakers_are_known_by_name() -> None:
    """However they are written."""
    names = ["io.x.CallNotPermittedException", "Broken-Circuit", "circuit_open", "CIRCUITBREAKERERROR", "Timeout", None]
    assert says_open(pl.Series(names)).to_list() == [True, True, True, True, False, False]


def test_rejected_calls_failed_without_an_answer() -> None:
    """A callee that tells of its own breaker did answer."""
    spans = [Span(1, 1, None, 0, SERVER, 0, 90), Span(1, 2, 1, 0, CLIENT, 1, 5), Span(1, 3, 2, 1, SERVER, 2, 3)]
    spans += [Span(1, 4, 1, 0, CLIENT, 20, 5, peer="s1")]
    subject = subject_of_spans(spans, status=["ok"] + ["error"] * 3, error_type=["CallNotPermitted"] * 4)
    assert subject.edge_calls.calls.select("timed", "rejected").rows() in (
        [(1, False), (3, True)],
        [(3, True), (1, False)],
    )
    assert subject.edge_calls.calls["failed"].all()
