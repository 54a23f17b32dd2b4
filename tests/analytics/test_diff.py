"""What changed is found endpoint by endpoint, and blamed on who made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from analytics.analysis import analyse
from analytics.diff import culprits, node_changes
from analytics.schema import CHANGES, LINKS, RESOURCES, SPANS, conform, empty
from analytics.source import Traces

if TYPE_CHECKING:
    from analytics.analysis import Analysed

MS = 10**6
RESOURCE = {"web": 0, "cart": 1, "stock": 2}
EMPTY = conform(pl.DataFrame({"resource": list(RESOURCE.values()), "service": list(RESOURCE)}), RESOURCES)


def call(number: int, operation: str, own: int, calls: list[tuple[str, int, int]]) -> list[dict[str, Any]]:
    """A request to web: its own work in ms, then calls one after the other: service, gap and work in ms."""
    ids = {"trace_high": 0, "trace_low": number, "status": "unset"}
    rows: list[dict[str, Any]] = []
    at = own
    for place, (service, gap, work) in enumerate(calls):
        client, server = 2 * place + 2, 2 * place + 3
        rows += [
            ids | _span(client, 1, "web", "client", at, gap + work),
            ids | _span(server, client, service, "server", at + gap / 2, work),
        ]
        at += gap + work
    return [ids | _span(1, None, "web", "server", 0, at) | {"span_name": operation}, *rows]


def _span(span: int, parent: int | None, service: str, kind: str, start: float, length: float) -> dict[str, Any]:
    ids = {"span_id": span, "parent_span_id": parent, "resource": RESOURCE[service], "span_name": "op"}
    return ids | {"kind": kind, "start_unix_nano": int(start * MS), "duration_ns": int(length * MS)}


def analysed(*requests: list[dict[str, Any]]) -> Analysed:
    """The analysis of requests."""
    rows = [row for request in requests for row in request]
    spans = conform(pl.DataFrame(rows), SPANS) if rows else empty(SPANS)
    return analyse(Traces(spans, EMPTY, empty(LINKS)))


def changes(before: Analysed, after: Analysed) -> pl.DataFrame:
    """The changes, of the unnamed environment."""
    return node_changes(before, after, ("", ""))


def deltas(frame: pl.DataFrame) -> dict[str, Any]:
    """What changed by how many milliseconds."""
    return {
        name: pytest.approx(delta) for name, delta in frame.select("name", "delta_ms").iter_rows() if abs(delta) > 1e-9
    }


def test_the_change_is_where_the_time_went() -> None:
    """The callee's work, the gap of its edge and the caller's work are told apart, and add up to the whole change."""
    before = analysed(call(1, "GET /", 5, [("cart", 2, 10)]))
    after = analysed(call(1, "GET /", 6, [("cart", 6, 30)]))
    found = changes(before, after)
    assert deltas(found) == {"cart": 20, "web->cart": 4, "web": 1}
    assert found["delta_ms"].sum() == pytest.approx(25)


def test_a_change_of_traffic_is_no_change_of_latency() -> None:
    """The slow endpoint is called more often; nothing got slower."""
    slow, fast = ("GET /slow", 5, [("cart", 2, 50)]), ("GET /fast", 5, [("stock", 2, 1)])
    before = analysed(*(call(number, *fast) for number in range(1, 10)), call(10, *slow))
    after = analysed(*(call(number, *slow) for number in range(1, 10)), call(10, *fast))
    assert deltas(changes(before, after)) == {}


def test_endpoints_of_one_side_alone_are_left_out() -> None:
    """There is nothing to compare them with."""
    old, new = call(1, "GET /old", 5, [("cart", 2, 10)]), call(2, "GET /new", 5, [("cart", 2, 99)])
    both = call(3, "GET /", 5, [])
    assert deltas(changes(analysed(old, both), analysed(new, both))) == {}
    assert changes(analysed(old), analysed(new)).is_empty()
    assert changes(analysed(), analysed()).schema == pl.Schema(CHANGES)


def test_the_gap_of_one_edge_is_the_callees() -> None:
    """It waits in the callee's queue, or on the way there."""
    before = analysed(call(1, "GET /", 5, [("cart", 2, 10), ("stock", 2, 10)]))
    after = analysed(call(1, "GET /", 5, [("cart", 2, 10), ("stock", 42, 10)]))
    (first,) = culprits(changes(before, after)).iter_rows(named=True)
    assert (first["service"], first["kind"], first["name"]) == ("stock", "edge", "web->stock")
    assert (first["starved"], first["delta_ms"], first["score"]) == (False, pytest.approx(40), pytest.approx(1))


def test_gaps_of_all_edges_are_the_starved_callers() -> None:
    """It is the one thing that they have in common."""
    before = analysed(call(1, "GET /", 5, [("cart", 2, 10), ("stock", 2, 10)]))
    after = analysed(call(1, "GET /", 9, [("cart", 32, 10), ("stock", 22, 12)]))
    found = culprits(changes(before, after))
    assert found["service"].to_list() == ["web", "web", "web", "stock"]
    assert found["starved"].to_list() == [True, True, False, False]
    assert found["score"].to_list() == pytest.approx([54 / 56] * 3 + [2 / 56])


def test_a_resource_that_filled_up_raises_the_score() -> None:
    """Of two that grew alike, the starved one is first."""
    before = analysed(call(1, "GET /", 5, [("cart", 2, 10), ("stock", 2, 10)]))
    after = analysed(call(1, "GET /", 5, [("cart", 2, 20), ("stock", 2, 20)]))
    rise = pl.DataFrame({"service": ["stock"], "rise": [0.5]})
    found = culprits(changes(before, after), rise)
    assert found["service"].to_list() == ["stock", "cart"]
    assert found["score"].to_list() == pytest.approx([0.75, 0.5])


def test_nothing_changed_has_no_culprit() -> None:
    """Nor has noise."""
    same = analysed(call(1, "GET /", 5, [("cart", 2, 10)]))
    assert culprits(changes(same, same)).is_empty()
    assert culprits(empty(CHANGES)).is_empty()
