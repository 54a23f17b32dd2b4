"""Propagation says of every service what a simulation of that service alone says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analytics import propagation
from analytics.analysis import Analysed, analyse
from analytics.changes import Slow
from analytics.propagation import Propagation, propagate
from analytics.propagation_report import describe_propagation, propagation_lines, propagation_markdown
from analytics.schema import LINKS, empty
from analytics.simulate import Simulation
from analytics.source import Traces
from tests.analytics.frames import FORESTS, PATIENT, resource_frame, span_frame
from tests.analytics.shop import shop
from tests.analytics.systems.market import MARKET
from tests.analytics.systems.simulator import simulate

if TYPE_CHECKING:
    from tests.analytics.oracle import Span

MS = 10**6
SAME = ("traces", "affected_share", "p50_before_ms", "p50_after_ms", "p99_before_ms", "p99_after_ms")


def analysed(spans: list[Span]) -> Analysed:
    """The analysis of these spans."""
    return analyse(Traces(span_frame(spans), resource_frame(), empty(LINKS)), correct_clocks=False)


def check(found: Propagation, subject: Analysed) -> None:
    """Compare each node with a simulation of it; names must be distinct."""
    by_node = found.endpoints.partition_by("node", as_dict=True)
    for row in found.nodes.iter_rows(named=True):
        one = Simulation(subject, [Slow(row["name"], found.delta_ns)])
        assert row["blast_radius"] == pytest.approx(one.blast_radius)
        assert row["amplification"] == pytest.approx(one.amplification or 0.0)
        rows = by_node.get((row["node"],))
        slowed = {} if rows is None else {line["endpoint"]: line for line in rows.to_dicts()}
        for line in one.endpoints.iter_rows(named=True):
            if line["affected_share"]:
                told = slowed.pop(line["endpoint"])
                assert [told[key] for key in SAME] == pytest.approx([line[key] for key in SAME])
        assert slowed == {}


@settings(PATIENT, max_examples=60)
@given(FORESTS, st.sampled_from([1, 7, 200 * MS]))
def test_agrees_with_a_simulation_of_each_on_any_spans(spans: list[Span], delta_ns: int) -> None:
    """Whatever they look like, however much is added."""
    subject = analysed(spans)
    check(propagate(subject, delta_ns), subject)


@pytest.mark.parametrize("delta_ns", [1, 3 * MS, 200 * MS])
def test_agrees_with_a_simulation_of_each_on_a_market(delta_ns: int) -> None:
    """Eighteen services and databases: more than are replayed at once, and some traces have few of them."""
    subject = analyse(simulate(MARKET, seed=1, queueing=False).traces)
    found = propagate(subject, delta_ns)
    assert found.nodes.height == 18
    check(found, subject)


@pytest.mark.parametrize("state", ["monolith", "incident"])
def test_nothing_is_slowed_that_does_not_need_it(state: str) -> None:
    """What gets slower with a service needs it on a blocking path; the converse fails only where there is slack."""
    subject = shop(state).analysed
    check(propagate(subject), subject)
    needed = dict(subject.nodes.select("name", "blast_radius").iter_rows())
    found = propagate(subject, 60_000 * MS).nodes
    assert {row["name"]: row["blast_radius"] for row in found.to_dicts()} == pytest.approx(
        {name: needed[name] for name in found["name"]}
    )
    assert (propagate(subject, 1 * MS).nodes["blast_radius"] <= found["blast_radius"] + 1e-9).all()


@pytest.mark.parametrize("requests", [1, 1_000])
def test_parts_say_what_all_at_once_say(monkeypatch: pytest.MonkeyPatch, requests: int) -> None:
    """However few nodes are told of at a time."""
    subject = shop("monolith").analysed
    whole = propagate(subject)
    monkeypatch.setattr(propagation, "_AT_ONCE", requests)
    parts = propagate(subject)
    assert_frame_equal(parts.endpoints, whole.endpoints)
    assert_frame_equal(parts.nodes, whole.nodes)


def test_nothing_added_slows_nobody() -> None:
    """No endpoint is told of."""
    found = propagate(shop("monolith").analysed, 0)
    assert found.endpoints.is_empty()
    assert found.nodes["blast_radius"].to_list() == [0.0] * found.nodes.height


def test_the_report_tells_the_worst_first() -> None:
    """With the keys of the contract, and the same in lines for a terminal and for Markdown."""
    based_on = {"from": 0, "to": 3600 * 10**9, "share": 0.25}
    told = describe_propagation(shop("monolith").analysed, based_on)
    assert told is not None
    assert list(told) == ["delta_ms", "based_on", "services"]
    first = told["services"][0]
    assert list(first) == [
        *("name", "type", "namespace", "blast_radius", "amplification", "slowed_endpoints", "endpoints"),
    ]
    assert list(first["endpoints"][0]) == [
        *("service", "operation", "traces", "affected_share", "p50_before_ms", "p50_after_ms", "p99_before_ms"),
        *("p99_after_ms", "p99_known"),
    ]
    worst = [row["blast_radius"] * row["amplification"] for row in told["services"]]
    assert worst == pytest.approx(sorted(worst, reverse=True))
    assert first["amplification"] == pytest.approx(grown(first["endpoints"][0]) / told["delta_ms"])
    lines = [line.plain for line in propagation_lines(told, 100)]
    assert lines[:3] == [
        "If one of these took 200 ms more for each request",
        "                           requests slower  p99 grows by  endpoint",
        "postgresql 127.0.0.1/shop            100 %     11,260 ms  gateway POST /orders",
    ]
    assert lines[-1] == "Replayed are requests of 1970-01-01 00:00 to 01:00 UTC, 25 % of the traces."
    title, table, note = propagation_markdown(told, str.upper)
    assert title.startswith("## If one of these took 200 ms more")
    assert table.splitlines()[2] == "| POSTGRESQL 127.0.0.1/SHOP | 100 % | 11,260 ms | GATEWAY POST /ORDERS |"
    assert note == lines[-1].upper()


def grown(endpoint: dict[str, Any]) -> float:
    """By how many milliseconds the p99 grows."""
    growth: float = endpoint["p99_after_ms"] - endpoint["p99_before_ms"]
    return growth


def test_without_requests_nothing_is_told() -> None:
    """Neither fails, nor takes a line."""
    assert describe_propagation(analysed([])) is None
    assert propagation_lines(None, 80) == propagation_markdown(None, str) == []
