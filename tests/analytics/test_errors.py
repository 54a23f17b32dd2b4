"""Errors are counted where they began, and retries are not taken for calls of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from analytics import errors
from analytics.arrays import NONE
from analytics.calls import CallGraph, find_calls
from analytics.errors import find_errors, wilson_interval
from analytics.graph import service_edges
from analytics.retries import find_attempts
from analytics.schema import LINKS, empty
from analytics.service_schema import EDGE_ERRORS, SERVICE_ERRORS
from tests.analytics import errors_oracle, oracle
from tests.analytics.frames import FORESTS, PATIENT, forest_of
from tests.analytics.graph_oracle import attributes
from tests.analytics.oracle import CLIENT, CONSUMER, PRODUCER, SERVER, Span
from tests.analytics.test_graph import saying_forest

if TYPE_CHECKING:
    from analytics.forest import Forest


def graph_of(forest: Forest, weights: list[float] | None = None) -> CallGraph:
    """Return the call graph without links."""
    return find_calls(forest, empty(LINKS), np.array(weights or [1.0] * forest.traces.height))


@settings(PATIENT, max_examples=60)
@given(FORESTS)
def test_attempts_and_errors_are_the_oracles(spans: list[Span]) -> None:
    """Of services and of edges, weighted."""
    weights = [1.0, 3.0]
    forest = saying_forest(spans)
    weights = weights[: forest.traces.height]
    graph = graph_of(forest, weights)
    trees = oracle.trees(spans)
    failed = [attributes(span).get("status") == "error" for span in trees]
    for span in trees:
        span.name = attributes(span).get("span_name", span.name)
    calls = list(graph.calls.iter_rows(named=True))
    repeats = errors_oracle.retried(calls, trees)
    attempts = find_attempts(graph)
    assert set(np.flatnonzero(attempts.repeats).tolist()) == set(repeats)
    assert set(np.flatnonzero(attempts.repeated).tolist()) == set(repeats.values()) - {None}
    assert attempts.earlier.tolist() == [NONE if e is None else e for e in map(repeats.get, range(len(calls)))]
    assert attempts.number.tolist() == [errors_oracle.number(p, repeats, calls, trees) for p in range(len(calls))]
    with patch.object(errors, "ENOUGH_FAILURES", 1):
        found = find_errors(graph, np.array(weights))
    got = {row[0]: list(row[4:7]) + list(row[8:]) for row in found.services.rows()}
    assert got == errors_oracle.service_errors(graph, trees, failed, weights)
    edges = service_edges(graph, np.array(weights)).join(found.edges, on="edge", suffix="_by_cause")
    for (caller, callee), expected in errors_oracle.propagation(graph, trees, failed, weights).items():
        row = edges.filter(caller_node=caller, callee_node=callee, mode="sync").row(0, named=True)
        shares = row["failure_propagation"] or 0.0, row["base_rate"] or 0.0
        assert (row["failed_parents"], row["other_parents"]) == (expected[0], expected[2])
        assert shares == (pytest.approx(expected[1]), pytest.approx(expected[3]))
    assert (edges["originated"] + edges["propagated"]).to_list() == edges["errors_by_cause"].to_list()
    assert edges["errors"].to_list() == edges["errors_by_cause"].to_list()


def chain(trace: int) -> list[Span]:
    """Return a user's call of s0, which calls s1."""
    return [
        Span(trace, 1, None, 0, SERVER, 0, 100),
        Span(trace, 2, 1, 0, CLIENT, 10, 80),
        Span(trace, 3, 2, 1, SERVER, 20, 60),
    ]


def errors_of(spans: list[Span], status: list[str], **columns: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return rows of SERVICE_ERRORS by service and of EDGE_ERRORS by caller->callee."""
    graph = graph_of(forest_of(spans, status=status, **columns))
    weights = np.ones(graph.forest.traces.height)
    found = find_errors(graph, weights)
    names = service_edges(graph, weights).select("edge", name=pl.format("{}->{}", "caller", "callee"))
    edges = found.edges.join(names, on="edge")
    return (
        {row["service"]: row for row in found.services.iter_rows(named=True)},
        {row["name"]: row for row in edges.iter_rows(named=True)},
    )


def test_a_failure_begins_in_one_place_and_travels() -> None:
    """The callee originates it, the caller passes it on."""
    services, edges = errors_of(chain(1), ["error", "error", "error"])
    assert (services["s1"]["originated"], services["s1"]["propagated"]) == (1, 0)
    assert (services["s0"]["originated"], services["s0"]["propagated"], services["s0"]["error_rate"]) == (0, 1, 1)
    assert (edges["user->s0"]["propagated"], edges["s0->s1"]["originated"]) == (1, 1)
    assert edges["s0->s1"]["suppressed"] == 0


def test_a_failure_that_the_caller_survives_is_suppressed() -> None:
    """Counted with the caller and with the edge."""
    services, edges = errors_of(chain(1), ["ok", "error", "error"])
    assert (services["s0"]["suppressed"], services["s0"]["errors"]) == (1, 0)
    assert edges["s0->s1"]["suppressed"] == 1


def attempt(place: int, begin: int, *, name: str = "op") -> Span:
    """Return one attempt of s0 at an outside system."""
    return Span(1, place, 1, 0, CLIENT, begin, 10, name=name, peer="x")


@pytest.mark.parametrize(
    ("begins", "names", "status", "expected"),
    [
        ((10, 20, 40), "aaa", ("error", "error", "ok"), 3.0),
        ((10, 20, 40), "aaa", ("ok", "ok", "ok"), 1.0),
        ((10, 19, 40), "aaa", ("error", "ok", "ok"), 1.0),
        ((10, 20, 40), "aba", ("error", "ok", "ok"), 1.5),
        ((10, 20, 40), "abc", ("error", "error", "ok"), 1.0),
        ((10, 20, 40), "aaa", ("error", "ok", "error"), 1.5),
    ],
)
def test_retries_are_sequential_and_of_one_operation(
    begins: tuple[int, ...], names: str, status: tuple[str, ...], expected: float
) -> None:
    """After a failure, not while it lasts, and not of something else."""
    spans = [
        Span(1, 1, None, 0, SERVER, 0, 100),
        *(attempt(place + 2, begins[place], name=names[place]) for place in range(3)),
    ]
    _, edges = errors_of(spans, ["ok", *status])
    assert edges["s0->x"]["retry_amplification"] == expected


def test_what_was_sent_again_is_a_retry() -> None:
    """Also where no attempt before it failed or was seen; a first sending counts 0 or nothing."""
    spans = [
        Span(1, 1, None, 0, SERVER, 0, 100),
        *(attempt(place + 2, begin) for place, begin in enumerate((10, 20, 40, 60))),
    ]
    _, edges = errors_of(spans, ["ok", "error", "ok", "ok", "ok"], resend_count=[None, 0, 1, None, 3])
    assert (edges["s0->x"]["retries"], edges["s0->x"]["retry_amplification"]) == (2, 2.0)
    assert edges["s0->x"]["failed_parents"] == 0


def test_another_thing_asked_after_a_failure_is_no_retry() -> None:
    """Though both client spans are named by the method alone."""
    for other, retries in (("POST /undo", 0), ("POST /do", 1)):
        spans = [Span(1, 1, None, 0, SERVER, 0, 100)]
        for place, (begin, name) in enumerate(((10, "POST /do"), (30, other))):
            spans.append(Span(1, 2 * place + 2, 1, 0, CLIENT, begin, 10, name="POST"))
            spans.append(Span(1, 2 * place + 3, 2 * place + 2, 1, SERVER, begin + 1, 8, name=name))
        _, edges = errors_of(spans, ["ok", "error", "error", "ok", "ok"])
        assert edges["s0->s1"]["retries"] == retries


@pytest.mark.parametrize(("loops", "retries"), [(0, 1), (2, 1), (3, 0), (10, 0)])
def test_the_next_call_of_a_loop_is_no_retry(loops: int, retries: int) -> None:
    """Of ten requests so many call twice though nothing fails; then one fails, and the same call follows."""
    spans, status = [], []
    for trace in range(1, 12):
        spans.append(Span(trace, 1, None, 0, SERVER, 0, 100))
        status.append("ok")
        for place in range(2 if trace <= loops or trace == 11 else 1):
            spans.append(Span(trace, place + 2, 1, 0, CLIENT, 10 + 20 * place, 10, peer="x"))
            status.append("error" if trace == 11 and place == 0 else "ok")
    _, edges = errors_of(spans, status)
    assert edges["s0->x"]["retries"] == retries


def test_answers_of_one_span_are_attempts_apart_from_those_inside_it() -> None:
    """A client that tries twice, and another client within it that does the same once."""
    spans = [
        Span(1, 1, None, 0, CLIENT, 0, 100),
        Span(1, 2, 1, 1, SERVER, 10, 10),
        Span(1, 3, 1, 0, CLIENT, 30, 10),
        Span(1, 4, 3, 1, SERVER, 32, 5),
        Span(1, 5, 1, 1, SERVER, 50, 10),
    ]
    graph = graph_of(forest_of(spans, status=["ok", "error", "ok", "ok", "ok"]))
    repeats = graph.calls.filter(pl.Series(find_attempts(graph).repeats))
    assert repeats.select("span", "answer").rows() == [(0, 4)]


def test_a_failure_that_a_retry_mends_is_suppressed() -> None:
    """The request never noticed."""
    spans = [Span(1, 1, None, 0, SERVER, 0, 100), attempt(2, 10), attempt(3, 30)]
    services, edges = errors_of(spans, ["ok", "error", "ok"])
    assert (services["s0"]["suppressed"], edges["s0->x"]["suppressed"]) == (1, 1)


def test_a_failure_that_a_retry_mends_did_not_fail_its_request() -> None:
    """The request then failed for a reason of its own."""
    spans = [Span(1, 1, None, 0, SERVER, 0, 100), attempt(2, 10), attempt(3, 30)]
    services, edges = errors_of(spans, ["error", "error", "ok"])
    assert (services["s0"]["originated"], services["s0"]["propagated"]) == (1, 0)
    assert (edges["s0->x"]["failed_parents"], edges["s0->x"]["other_parents"]) == (0, 1)
    assert edges["user->s0"]["retry_amplification"] is None


@pytest.mark.parametrize(("failures", "known"), [(19, False), (20, True)])
def test_propagation_is_told_from_twenty_failures_on(failures: int, known: bool) -> None:  # noqa: FBT001
    """With the rate at which the caller fails anyway beside it."""
    spans = [span for trace in range(1, 41) for span in chain(trace)]
    status = [state for trace in range(40) for state in (["error"] * 3 if trace < failures else ["ok"] * 3)]
    status[-3] = "error"
    _, edges = errors_of(spans, status)
    row = edges["s0->s1"]
    assert row["failed_parents"] == failures
    assert row["failure_propagation"] == (1.0 if known else None)
    assert row["base_rate"] == pytest.approx(1 / (40 - failures))
    if known:
        assert row["failure_propagation_low"] == pytest.approx(0.8389, abs=1e-4)
        assert row["failure_propagation_high"] == 1.0


def test_wilsons_interval_is_the_textbooks() -> None:
    """Half of ten: 0.2366 to 0.7634."""
    low, high = wilson_interval(np.array([0.5, 0.0]), np.array([10.0, 0.0]))
    assert (low[0], high[0]) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
    assert (low[1], high[1] <= 1) == (0, True)


def test_a_consumers_failure_is_not_its_producers() -> None:
    """Nobody waited for it."""
    spans = [
        Span(1, 1, None, 0, SERVER, 0, 100),
        Span(1, 2, 1, 0, PRODUCER, 10, 5),
        Span(1, 3, 2, 1, CONSUMER, 200, 5),
    ]
    services, edges = errors_of(spans, ["error", "ok", "error"], messaging_destination=[None, "q", None])
    assert (services["s0"]["originated"], services["s1"]["originated"]) == (1, 1)
    assert edges["q->s1"]["errors"] == 1
    assert edges["q->s1"]["retry_amplification"] is None
    assert edges["q->s1"]["base_rate"] is None


def test_no_spans_have_no_errors() -> None:
    """With all columns."""
    found = find_errors(graph_of(forest_of([])), np.ones(0))
    assert found.services.equals(empty(SERVICE_ERRORS))
    assert found.edges.equals(empty(EDGE_ERRORS))
