"""Concurrency is arrival rate times time, hot instances stand out, and gaps that grow with load are queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.calls import CallGraph, find_calls
from analytics.load import Windows, hot_instances, instance_load, windows_of
from analytics.queueing import queueing_gaps
from analytics.schema import LINKS, RESOURCES, conform, empty
from analytics.self_time import self_time
from analytics.service_schema import HOT_INSTANCES, INSTANCE_LOAD, QUEUEING
from tests.analytics import load_oracle, oracle
from tests.analytics.frames import FORESTS, HOSTS, PATIENT, forest_of
from tests.analytics.oracle import CLIENT, SERVER, Span
from tests.analytics.test_graph import saying_forest
from tests.analytics.test_node_stats import is_entry

if TYPE_CHECKING:
    from analytics.forest import Forest

WEIGHTS = [1.0, 3.0]
SECOND = 1_000_000_000


def instances() -> pl.DataFrame:
    """Return RESOURCES whose instances are the hosts."""
    rows = [(s * HOSTS + h, f"s{s}", f"h{h}") for s in range(3) for h in range(HOSTS)]
    return conform(pl.DataFrame(rows, schema=["resource", "service", "instance"], orient="row"), RESOURCES)


def graph_of(forest: Forest) -> CallGraph:
    """Return the call graph without links."""
    return find_calls(forest, empty(LINKS), np.ones(forest.traces.height))


@settings(PATIENT, max_examples=60)
@given(FORESTS, st.integers(0, 20), st.integers(1, 15), st.integers(1, 5))
def test_load_is_the_oracles_and_littles(spans: list[Span], begin: int, width: int, count: int) -> None:
    """N = lambda W holds exactly for spans that are cut to the window."""
    forest = saying_forest(spans)
    weights = np.array(WEIGHTS[: forest.traces.height])
    selfs = self_time(forest)
    found = instance_load(graph_of(forest), instances(), weights, Windows(begin, width, count), selfs)
    trees = oracle.trees(spans)
    entries = [is_entry(span) for span in trees]
    expected = load_oracle.instance_load(trees, entries, WEIGHTS, (begin, width, count), selfs.tolist())
    got: dict[Any, Any] = {
        (row["service_code"], row["instance"], row["window"]): (
            row["requests"],
            row["started"],
            pytest.approx(row["concurrency"]),
            pytest.approx(row["busy"]),
        )
        for row in found.iter_rows(named=True)
    }
    assert got == expected
    for row in found.iter_rows(named=True):
        here = [
            s
            for s, entry in zip(trees, entries, strict=True)
            if entry and (s.service, f"h{s.host}") == (row["service_code"], row["instance"])
        ]
        low = begin + row["window"] * width
        weight = sum(WEIGHTS[s.trace - 1] for s in here if load_oracle._overlaps(s, low, low + width))
        assert row["concurrency"] == pytest.approx(weight / width * row["mean_ms"] * 1e6)
        assert row["throughput"] == pytest.approx(row["started"] / width * SECOND)


def test_windows_hold_all_spans_but_those_with_wrong_clocks() -> None:
    """Whole windows; a day of minutes at most."""
    forest = forest_of([Span(1, 1, None, 0, SERVER, 65, 10), Span(1, 2, 1, 0, CLIENT, 90, 31)])
    assert windows_of(forest, 60) == Windows(60, 60, 2)
    assert windows_of(forest_of([])).count == 0
    late = windows_of(forest_of([Span(1, 1, None, 0, SERVER, 0, 10), Span(2, 1, None, 0, SERVER, 10**18, 10)]))
    assert (late.count, late.end_unix_nano > 10**18) == (1440, True)
    long = windows_of(forest_of([Span(1, 1, None, 0, SERVER, 0, 10**18)]))
    assert (long.count, long.begin_unix_nano) == (1440, 60 * SECOND)


def requests(host: int, count: int, length: int, *, first: int = 0, gap: int = 1000) -> list[Span]:
    """Return requests to s0 on one host."""
    base = 1 + 10_000 * (host + 1) + first
    return [Span(base + i, 1, None, 0, SERVER, first + i * gap, length, host=host) for i in range(count)]


def hot(spans: list[Span]) -> dict[str, tuple[bool | None, str]]:
    """Return verdict and reason by instance."""
    graph = graph_of(forest_of(spans))
    found = hot_instances(graph, instances(), np.ones(graph.forest.traces.height))
    assert found.schema == pl.Schema(HOT_INSTANCES)
    return {row["instance"]: (row["hot"], row["reason"]) for row in found.iter_rows(named=True)}


def test_an_instance_far_from_its_peers_is_hot() -> None:
    """By load or by latency."""
    even = [*requests(0, 200, 100), *requests(1, 200, 100)]
    assert {name: told for name, (told, _) in hot([*even, *requests(2, 200, 100)]).items()} == {
        "h0": False,
        "h1": False,
        "h2": False,
    }
    busy = hot([*even, *requests(2, 500, 100, gap=400)])
    assert {name: told for name, (told, _) in busy.items()} == {"h0": False, "h1": False, "h2": True}
    assert busy["h2"][1].startswith("2.5 times its peers' requests a second")
    slow = hot([*even, *requests(2, 200, 300)])
    assert (slow["h2"][0], slow["h0"][0]) == (True, False)


def test_too_little_to_call_an_instance_hot_is_said() -> None:
    """Few requests; nobody else at the time; no others at all."""
    assert hot([*requests(0, 200, 100), *requests(1, 99, 900)])["h1"] == (None, "too few requests: 99 of 100")
    after = hot([*requests(0, 200, 100), *requests(1, 200, 900, first=10**6)])
    assert after["h0"] == (None, "no other instance served at the same time and had 100 requests")
    assert hot(requests(0, 200, 100)) == {}
    assert hot([]) == {}


def calls(window: int, count: int, gap: int) -> list[Span]:
    """Return calls of s0 to s1 in one second, with a gap."""
    found = []
    for i in range(count):
        start = window * SECOND + i * 1000
        found.append(Span(window * 1000 + i + 1, 1, None, 0, CLIENT, start, 500 + gap))
        found.append(Span(window * 1000 + i + 1, 2, 1, 1, SERVER, start + gap // 2, 500))
    return found


def gaps(load: list[int], gap: list[int]) -> tuple[str, str]:
    """Return status and reason of the edge s0->s1."""
    spans = [span for w, (n, g) in enumerate(zip(load, gap, strict=True)) for span in calls(w, n, g)]
    graph = graph_of(forest_of(spans))
    weights = np.ones(graph.forest.traces.height)
    found = queueing_gaps(graph, weights, Windows(0, SECOND, len(load)))
    assert found.schema == pl.Schema(QUEUEING)
    row = found.row(0, named=True)
    assert (row["correlation"] is None) == (row["status"] == "unknown")
    return row["status"], row["reason"]


def test_a_gap_that_grows_with_load_is_a_queue() -> None:
    """One that stays is the network's."""
    load = [10, 20, 30, 40, 50, 60]
    assert gaps(load, [10_000_000 * n for n in load]) == (
        "found",
        "150.0 ms at 15.0 and 550.0 ms at 55.0 requests a second",
    )
    assert gaps(load, [10_000_000] * 6)[0] == "none"
    assert gaps(load, [10_000_000 + n for n in load])[0] == "none"
    assert gaps(load, [10_000_000 * (100 - n) for n in load])[0] == "none"


def test_too_little_to_tell_a_queue_is_said() -> None:
    """Few windows, few calls, or always the same load."""
    assert gaps([10, 20, 30, 40, 50], [1] * 5) == ("unknown", "not enough windows with 10 calls: 5 of 6")
    assert gaps([9, 20, 30, 40, 50, 60], [1] * 6) == ("unknown", "not enough windows with 10 calls: 5 of 6")
    assert gaps([30] * 6, [1] * 6) == ("unknown", "load varied by less than a factor of 2")


def test_no_spans_have_no_load() -> None:
    """With all columns."""
    graph = graph_of(forest_of([]))
    nothing = np.empty(0)
    windows = windows_of(graph.forest)
    assert instance_load(graph, instances(), nothing, windows, np.empty(0, np.int64)).equals(empty(INSTANCE_LOAD))
    assert queueing_gaps(graph, nothing, windows).equals(empty(QUEUEING))
