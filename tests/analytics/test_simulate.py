"""What holds of a simulation, whatever was recorded."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.analysis import Analysed, analyse
from analytics.changes import Change, Edge, Fail, Slow
from analytics.schema import LINKS, empty
from analytics.simulate import Simulation
from analytics.source import Traces
from tests.analytics.frames import FORESTS, PATIENT, resource_frame, span_frame
from tests.analytics.oracle import CLIENT, SERVER, Span

SOME = settings(PATIENT, max_examples=50)


def analysed(spans: list[Span], **columns: Any) -> Analysed:
    """The analysis of these spans; further columns replace those of the spans."""
    return analyse(Traces(span_frame(spans, **columns), resource_frame(), empty(LINKS)), correct_clocks=False)


def services(subject: Analysed) -> list[str]:
    """The services that took part."""
    return subject.nodes.filter(pl.col("type") == "service")["name"].unique().sort().to_list()


def edges(subject: Analysed) -> list[tuple[str, str]]:
    """The calls that can become messages."""
    sync = subject.edges.filter((pl.col("mode") == "sync") & (pl.col("caller_type") != "user"))
    return sync.select("caller", "callee").unique().sort(pl.all()).rows()


def times(subject: Analysed, *changes: Change) -> tuple[list[int], list[int]]:
    """The latencies of all requests before and after, in the order of traces."""
    requests = Simulation(subject, changes).requests.sort("trace")
    return requests["before"].to_list(), requests["after"].to_list()


@SOME
@given(FORESTS)
def test_no_change_is_the_identity(spans: list[Span]) -> None:
    """To the nanosecond, whoever takes no longer."""
    subject = analysed(spans)
    before = subject.requests.traces.sort("trace")["duration_ns"].to_list()
    for service in services(subject):
        for slow in (Slow(service), Slow(service, factor=1.0)):
            assert times(subject, slow) == (before, before)


@SOME
@given(FORESTS, st.integers(1, 30), st.integers(1, 30))
def test_latency_is_monotone_in_what_is_added(spans: list[Span], some: int, more: int) -> None:
    """More never makes a request faster; less never makes it slower, nor negative."""
    subject = analysed(spans)
    for service in services(subject):
        deltas = (-some - more, -some, 0, some, some + more)
        runs = [times(subject, Slow(service, delta))[1] for delta in deltas]
        for less, longer in pairwise(runs):
            assert all(a <= b for a, b in zip(less, longer, strict=True))
        assert min(runs[0], default=0) >= 0


@SOME
@given(FORESTS, st.sampled_from(["async", "breaker"]), st.integers(0, 20), st.lists(st.booleans(), min_size=24))
def test_waiting_less_never_takes_longer(spans: list[Span], kind: str, delta: int, failed: list[bool]) -> None:
    """Neither a call that nobody waits for nor a breaker raises the latency of any request, slow or not."""
    subject = analysed(spans, status=["error" if flag else "unset" for flag in failed[: len(spans)]])
    for caller, callee in edges(subject):
        slow = [Slow(service, delta) for service in services(subject)]
        _, without = times(subject, *slow)
        _, found = times(subject, *slow, Edge(kind, caller, callee))
        assert all(a <= b for a, b in zip(found, without, strict=True))


@SOME
@given(FORESTS, st.floats(0, 1), st.data())
def test_failing_more_never_fails_less(spans: list[Span], share: float, data: st.DataObject) -> None:
    """Error rates stay between what they were and 1, and what is all that fails takes its endpoint with it."""
    subject = analysed(spans)
    if not services(subject):
        return
    service = data.draw(st.sampled_from(services(subject)))
    found = Simulation(subject, [Fail(service, share)]).endpoints
    rates = found.select("error_rate_before", "error_rate_after").rows()
    assert all(before <= after <= 1 + 1e-9 for before, after in rates)
    own = Simulation(subject, [Fail(service, 1.0)]).endpoints.filter(pl.col("service") == service)
    assert own["error_rate_after"].to_list() == pytest.approx([1.0] * own.height)


def test_slack_is_used_up_first() -> None:
    """Of two calls side by side the shorter one may take as much longer as the other does."""
    spans = [Span(1, 1, None, 0, SERVER, 0, 100)]
    for place, (service, length) in enumerate(((1, 50), (2, 80))):
        spans.append(Span(1, 10 + place, 1, 0, CLIENT, 10, length))
        spans.append(Span(1, 20 + place, 10 + place, service, SERVER, 12, length - 4))
    subject = analysed(spans)
    for delta, expected in ((30, 100), (31, 101), (100, 170)):
        assert times(subject, Slow("s1", delta))[1] == [expected]
    assert times(subject, Slow("s2", 1))[1] == [101]
    assert times(subject, Slow("s2", 20), Edge("async", "s0", "s2"))[1] == [70]


def test_what_nobody_waits_for_takes_the_time_to_hand_over() -> None:
    """4 ns of 80 are not the callee's; a call that failed takes none through a breaker."""
    spans = [
        Span(1, 1, None, 0, SERVER, 0, 100),
        Span(1, 2, 1, 0, CLIENT, 10, 80),
        Span(1, 3, 2, 1, SERVER, 12, 76),
    ]
    assert times(analysed(spans), Edge("async", "s0", "s1"))[1] == [24]
    assert times(analysed(spans), Edge("breaker", "s0", "s1"))[1] == [100]
    failed = analysed(spans, status=["error"] * 3)
    assert times(failed, Edge("breaker", "s0", "s1"))[1] == [20]
    assert Simulation(failed, [Edge("breaker", "s0", "s1")]).endpoints["error_rate_after"].to_list() == [1]
