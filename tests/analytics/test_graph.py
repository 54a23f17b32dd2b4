"""Every call is found once, with the right sides, whatever ties them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.calls import CallGraph, find_calls
from analytics.forest import build_forest
from analytics.graph import edge_histograms, service_edges, without_queues
from analytics.quantiles import histogram_quantiles
from analytics.sampling import trace_weights
from analytics.schema import LINKS, RESOURCES, conform, empty
from analytics.service_schema import CALLS, EDGES, GRAPH_NODES
from tests.analytics import oracle
from tests.analytics.frames import FORESTS, PATIENT, forest_of, resource_frame, span_frame
from tests.analytics.graph_oracle import Graph, Link, attributes, gap_of
from tests.analytics.oracle import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Span

if TYPE_CHECKING:
    from analytics.forest import Forest

LINKED = st.lists(st.tuples(st.integers(1, 2), st.integers(1, 12), st.integers(1, 2), st.integers(1, 12)), max_size=6)
NAMES = (
    "server_address",
    "peer_service",
    "http_method",
    "rpc_system",
    "db_system",
    "status",
    "span_name",
    "resend_count",
)
MESSAGING = ("messaging_system", "messaging_destination", "messaging_operation")


def link_frame(links: list[Link]) -> pl.DataFrame:
    """Return LINKS from (trace, span, linked trace, linked span)."""
    columns = ("trace_low", "span_id", "linked_trace_low", "linked_span_id")
    rows = [dict(zip(columns, link, strict=True)) | {"trace_high": 0, "linked_trace_high": 0} for link in links]
    return conform(pl.DataFrame(rows), LINKS) if rows else empty(LINKS)


def saying_forest(spans: list[Span]) -> Forest:
    """Return the forest of spans that say what the oracle thinks they say."""
    said = [attributes(span) for span in spans]
    columns = {name: [one.get(name) for one in said] for name in (*NAMES, *MESSAGING)}
    columns["span_name"] = [one.get("span_name", span.name) for one, span in zip(said, spans, strict=True)]
    return build_forest(span_frame(spans, **columns), resource_frame())


def graph_of(forest: Forest, links: list[Link] | None = None) -> CallGraph:
    """Return the call graph."""
    return find_calls(forest, link_frame(links or []), trace_weights(forest))


def named_calls(graph: CallGraph) -> list[tuple[Any, ...]]:
    """Return span, answer, caller, callee, mode and how it is known, sorted."""
    names = graph.nodes["name"]
    frame = graph.calls.select(
        "span",
        "answer",
        names.gather(graph.calls["caller"]).alias("caller"),
        names.gather(graph.calls["callee"]).alias("callee"),
        pl.col("mode", "known_by").cast(pl.String),
    )
    return sorted(frame.rows(), key=str)


@PATIENT
@given(FORESTS, LINKED)
def test_calls_are_the_oracles(spans: list[Span], links: list[Link]) -> None:
    """Sync and async, by parent and by link, with and without an answer."""
    forest = saying_forest(spans)
    trees = oracle.trees(spans)
    row = {id(span): place for place, span in enumerate(trees)}
    expected = [(row.get(id(span)), row.get(id(answer)), *rest) for span, answer, *rest in Graph(trees, links).calls()]
    assert named_calls(graph_of(forest, links)) == sorted(expected, key=str)


@settings(PATIENT, max_examples=40)
@given(FORESTS, LINKED)
def test_edges_sum_up_their_calls(spans: list[Span], links: list[Link]) -> None:
    """Counts, errors, times and the share of traces, by brute force over the calls."""
    forest = saying_forest(spans)
    graph = graph_of(forest, links)
    weights = np.arange(1.0, forest.traces.height + 1)
    graph = find_calls(forest, link_frame(links), weights)
    edges = service_edges(graph, weights)
    assert edges.schema == pl.Schema(EDGES)
    assert edges["calls"].sum() == graph.calls.height
    for edge in edges.iter_rows(named=True):
        mine = [
            call
            for call in graph.calls.iter_rows(named=True)
            if (call["caller"], call["callee"], call["mode"])
            == (edge["caller_node"], edge["callee_node"], edge["mode"])
        ]
        weigh = sum(call["weight"] for call in mine)
        failed = sum(call["weight"] for call in mine if call["client_failed"] or call["server_failed"])
        gaps = [(gap, call["weight"]) for call in mine for gap in gap_of(*_times(call))]
        assert (edge["calls"], edge["weight"], edge["errors"]) == (len(mine), weigh, failed)
        assert edge["gap_weight"] == sum(w for _, w in gaps)
        assert edge["gap_ns"] == pytest.approx(sum(g * w for g, w in gaps))
        assert (edge["gap_ms"] is None) == (not gaps)
        for side in ("client", "server"):
            known = [(c[f"{side}_ns"], c["weight"]) for c in mine if c[f"{side}_ns"] is not None]
            assert edge[f"{side}_ns"] == sum(t * w for t, w in known)
        latencies = [
            (float(t), int(c["weight"])) for c in mine for t in [next((t for t in _times(c) if t is not None), None)]
            if t is not None
        ]  # fmt: skip
        if latencies:
            assert edge["p95_ms"] == pytest.approx(oracle.quantile(latencies, 0.95) / 1e6)
        assert edge["caller_weight"] == sum(weights[t] for t in _traces_with(graph, edge["caller_node"]))


def _times(call: dict[str, Any]) -> tuple[int | None, int | None]:
    return call["client_ns"], call["server_ns"]


def _traces_with(graph: CallGraph, node: int) -> set[int]:
    spans = {int(t) for t, s in zip(graph.forest.trace, graph.forest.service, strict=True) if s == node}
    calls = graph.calls.filter((pl.col("caller") == node) | (pl.col("callee") == node))
    return spans | set(calls["trace"].to_list()) if node >= graph.forest.origins.services.height else spans


def calls_of(spans: list[Span], links: list[Link] | None = None, **columns: Any) -> list[tuple[Any, ...]]:
    """Return caller, callee, mode and how it is known of spans that say what the columns hold."""
    return sorted(call[2:] for call in named_calls(graph_of(forest_of(spans, **columns), links)))


def test_a_server_is_called_through_whatever_lies_between() -> None:
    """An uninstrumented client, and work that the callee does before its server span."""
    spans = [
        Span(1, 1, None, 0, INTERNAL, 0, 100),
        Span(1, 2, 1, 1, SERVER, 10, 20),
        Span(1, 3, 1, 0, CLIENT, 40, 40),
        Span(1, 4, 3, 2, INTERNAL, 45, 30),
        Span(1, 5, 4, 2, SERVER, 50, 20),
    ]
    assert named_calls(graph_of(forest_of(spans))) == [
        (0, 1, "s0", "s1", "sync", "answer"),
        (2, 3, "s0", "s2", "sync", "answer"),
    ]


def test_a_service_that_calls_itself_has_an_edge_of_its_own() -> None:
    """And is no neighbour of itself."""
    graph = graph_of(forest_of([Span(1, 1, None, 0, CLIENT, 0, 100), Span(1, 2, 1, 0, SERVER, 10, 80)]))
    assert named_calls(graph) == [(0, 1, "s0", "s0", "sync", "answer")]


def test_a_message_goes_through_its_queue_across_traces() -> None:
    """By link; a link to a span that nobody sent is counted."""
    spans = [Span(1, 1, None, 0, PRODUCER, 0, 10), Span(2, 1, None, 1, CONSUMER, 50, 10)]
    graph = graph_of(forest_of(spans, messaging_destination=["q", None]), [(2, 1, 1, 1), (2, 1, 7, 7)])
    assert named_calls(graph) == [
        (0, 1, "q", "s1", "async", "answer"),
        (0, None, "s0", "q", "async", "peer"),
    ]
    assert graph.unknown_links == 1
    assert graph.nodes.filter(pl.col("type") == "queue")["name"].to_list() == ["q"]


def test_without_queues_services_send_to_services() -> None:
    """What nobody took stays in the queue, and what nobody sent comes from it."""
    spans = [
        Span(1, 1, None, 0, PRODUCER, 0, 10),
        Span(1, 2, 1, 1, CONSUMER, 50, 10),
        Span(2, 1, None, 0, PRODUCER, 0, 10),
        Span(3, 1, None, 2, CONSUMER, 0, 10),
    ]
    graph = without_queues(graph_of(forest_of(spans, messaging_destination=["q"] * 4)))
    assert sorted(call[2:4] for call in named_calls(graph)) == [("q", "s2"), ("s0", "q"), ("s0", "s1")]
    edges = service_edges(graph, np.ones(3))
    assert edges.filter(callee="s1").select("caller", "mode", "calls_per_trace").rows() == [("s0", "async", 0.5)]
    assert without_queues(graph_of(forest_of([]))).calls.equals(empty(CALLS))


def test_a_message_received_and_then_processed_in_a_batch_was_taken_once() -> None:
    """A CONSUMER that only says receive gives way to one that processes."""
    spans = [
        Span(1, 1, None, 0, PRODUCER, 0, 10),
        Span(1, 2, 1, 1, CONSUMER, 50, 10),
        Span(2, 1, None, 1, CONSUMER, 90, 10),
    ]
    said: dict[str, Any] = {"messaging_destination": ["q"] * 3, "messaging_operation": ["send", "receive", "process"]}
    assert [call[:2] for call in named_calls(graph_of(forest_of(spans, **said), [(2, 1, 1, 1)]))] == [(0, 2), (0, None)]


def test_a_queue_that_only_its_consumer_names_has_that_name() -> None:
    """The sender does not know where its messages go."""
    spans = [Span(1, 1, None, 0, PRODUCER, 0, 10), Span(1, 2, 1, 1, CONSUMER, 50, 10)]
    assert calls_of(spans, messaging_destination=[None, "q"]) == [
        ("q", "s1", "async", "answer"),
        ("s0", "q", "async", "peer"),
    ]


def test_a_database_that_is_a_message_broker_too_is_a_database() -> None:
    """Unless the span says that it sends."""
    said: dict[str, Any] = {"messaging_system": ["redis"], "db_system": ["redis"]}
    assert calls_of([Span(1, 1, None, 0, CLIENT, 0, 10)], **said) == [("s0", "redis", "sync", "peer")]


def test_a_message_without_a_queue_goes_straight() -> None:
    """Nobody names the queue."""
    spans = [Span(1, 1, None, 0, PRODUCER, 0, 10), Span(1, 2, 1, 1, CONSUMER, 50, 10)]
    assert calls_of(spans) == [("s0", "s1", "async", "answer")]


@pytest.mark.parametrize("operation", ["receive", "settle"])
def test_talk_with_the_broker_is_no_call(operation: str) -> None:
    """CLIENT spans, but no RPC."""
    spans = [Span(1, 1, None, 0, CLIENT, 0, 10)]
    said: dict[str, Any] = {
        "messaging_operation": [operation],
        "messaging_destination": ["q"],
        "messaging_system": ["kafka"],
    }
    assert calls_of(spans, **said) == []


def test_a_receive_counts_when_nothing_else_took_the_message() -> None:
    """With a link to what it received; with a process span besides, that one counts."""
    spans = [Span(1, 1, None, 0, PRODUCER, 0, 10), Span(2, 1, None, 1, CLIENT, 50, 10)]
    links: list[Link] = [(2, 1, 1, 1), (2, 2, 1, 1)]
    sent = ("s0", "q", "async", "peer")
    columns = {"messaging_destination": ["q"] * 3, "messaging_operation": ["send", "receive", "process"]}
    two = {name: values[:2] for name, values in columns.items()}
    assert calls_of(spans, links, **two) == [("q", "s1", "async", "answer"), sent]
    spans.append(Span(2, 2, 1, 1, CONSUMER, 70, 10))
    assert named_calls(graph_of(forest_of(spans, **columns), links))[0][:2] == (0, 2)
    assert len(calls_of(spans, links, **columns)) == 2


def test_a_message_created_and_then_sent_is_one() -> None:
    """The send is the transport of what was created."""
    spans = [Span(1, 1, None, 0, PRODUCER, 0, 10), Span(1, 2, 1, 0, CLIENT, 2, 5)]
    said: dict[str, Any] = {"messaging_destination": ["q", "q"], "messaging_operation": ["create", "send"]}
    assert calls_of(spans, **said) == [("s0", "q", "async", "peer")]


def test_two_libraries_make_one_call() -> None:
    """An HTTP client in an SDK in a database client: the answered one, else the database, else the innermost."""
    spans = [Span(1, 1, None, 0, CLIENT, 0, 100), Span(1, 2, 1, 0, CLIENT, 10, 80)]
    assert calls_of(spans, server_address=["a", "b"]) == [("s0", "b", "sync", "peer")]
    assert calls_of(spans, db_system=["es", None], server_address=[None, "b"]) == [("s0", "es", "sync", "peer")]
    spans.append(Span(1, 3, 2, 1, SERVER, 20, 50))
    assert calls_of(spans, db_system=["es", None, None]) == [("s0", "s1", "sync", "answer")]


def answered_and_not(**columns: Any) -> list[tuple[Any, ...]]:
    """Return how calls without an answer are known beside one that s1 answered."""
    spans = [
        Span(1, 1, None, 0, CLIENT, 0, 100),
        Span(1, 2, 1, 1, SERVER, 10, 80),
        Span(2, 1, None, 2, CLIENT, 0, 10),
    ]
    return [call[:2] + call[3:] for call in calls_of(spans, **columns) if call[3] != "answer"]


def test_a_call_without_an_answer_goes_where_others_were_answered() -> None:
    """By address, by the service's name, by the RPC's name; otherwise it is an outside system's."""
    assert answered_and_not(server_address=["a", None, "a"], server_port=[1, None, 1]) == [("s2", "s1", "address")]
    assert answered_and_not(server_address=["a", None, "a"], server_port=[1, None, 2]) == [("s2", "a:2", "peer")]
    assert answered_and_not(peer_service=["x", None, "x"]) == [("s2", "s1", "address")]
    assert answered_and_not(peer_service=[None, None, "s1"]) == [("s2", "s1", "name")]
    assert answered_and_not(peer_service=["s2", None, "s2"]) == [("s2", "s1", "address")]
    assert answered_and_not(peer_service=[None, None, "s9"]) == [("s2", "s9", "peer")]
    assert answered_and_not(rpc_system=["grpc", None, "grpc"]) == [("s2", "s1", "operation")]
    assert answered_and_not(rpc_system=["grpc", None, "thrift"]) == []
    assert answered_and_not(server_address=["a", None, "a"], db_system=[None, None, "pg"]) == [("s2", "pg a", "peer")]


def test_an_address_that_several_services_answer_at_is_no_service() -> None:
    """A gateway or a load balancer; nothing is guessed."""
    spans = [
        Span(1, 1, None, 0, CLIENT, 0, 100, peer="a"),
        Span(1, 2, 1, 1, SERVER, 10, 80),
        Span(2, 1, None, 0, CLIENT, 0, 100, peer="a"),
        Span(2, 2, 1, 2, SERVER, 10, 80),
        Span(3, 1, None, 0, CLIENT, 0, 10, peer="a"),
    ]
    assert ("s0", "a", "sync", "peer") in calls_of(spans)


def test_another_environments_answers_say_nothing() -> None:
    """Addresses mean different things in different environments."""
    resources = conform(
        pl.DataFrame({"resource": [0, 3, 6], "service": ["s0", "s1", "s2"], "environment": ["a", "a", "b"]}), RESOURCES
    )
    spans = [
        Span(1, 1, None, 0, CLIENT, 0, 100, peer="x"),
        Span(1, 2, 1, 1, SERVER, 10, 80),
        Span(2, 1, None, 2, CLIENT, 0, 10, peer="x"),
        Span(3, 1, None, 1, SERVER, 0, 10),
        Span(4, 1, None, 2, SERVER, 0, 10),
    ]
    graph = graph_of(build_forest(span_frame(spans), resources))
    assert (2, None, "s2", "x", "sync", "peer") in named_calls(graph)
    named = graph_of(build_forest(span_frame(spans, peer_service=[None, None, "s1", None, None]), resources))
    assert (2, None, "s2", "s1", "sync", "peer") in named_calls(named)
    users = graph.nodes.filter(pl.col("type") == "user")
    assert users.select("name", "environment").rows() == [("user", "a"), ("user", "b")]
    assert service_edges(graph, np.ones(4))["environment"].to_list().count("b") == 2


def test_protocols_of_old_and_new_clients_are_one() -> None:
    """RPC system, HTTP, database, messaging; the most frequent one of an edge."""
    spans = [Span(t, 1, None, 0, CLIENT, 0, 10, peer="x") for t in range(1, 7)]
    said = {
        "http_method": ["GET", None, "GET", None, None, "POST"],
        "rpc_system": [None, "grpc", "grpc", None, None, None],
        "db_system": [None, None, None, "redis", None, None],
        "messaging_system": [None, None, None, None, "kafka", None],
    }
    edges = service_edges(graph_of(forest_of(spans, **said)), np.ones(6))
    assert edges.select("callee", "callee_type", "mode", "protocol").rows() == [
        ("redis x", "database", "sync", "redis"),
        ("kafka", "queue", "async", "kafka"),
        ("x", "external", "sync", "grpc"),
    ]


def test_calls_per_trace_are_those_of_the_callers_traces() -> None:
    """Traces in which the caller takes no part do not count; a failed side is an error; the gap is the rest."""
    spans = [
        Span(1, 1, None, 0, CLIENT, 0, 100),
        Span(1, 2, 1, 1, SERVER, 10, 80),
        Span(1, 3, 1, 1, INTERNAL, 10, 80),
        Span(2, 1, None, 0, INTERNAL, 0, 10),
        Span(3, 1, None, 1, INTERNAL, 0, 10),
    ]
    edges = service_edges(graph_of(forest_of(spans[:2] + spans[3:], status=["ok", "error", "ok", "ok"])), np.ones(3))
    row = edges.row(0, named=True)
    assert (row["calls_per_trace"], row["error_rate"], row["gap_ms"]) == (0.5, 1.0, 20e-6)
    several = graph_of(forest_of(spans))
    assert several.calls["client_ns"].to_list() == [None, None]


def test_a_call_that_timed_out_tells_of_no_gap() -> None:
    """Its server went on working; the mean is that of the others, and null without any."""
    spans = [Span(1, 1, None, 0, CLIENT, 0, 100), Span(1, 2, 1, 1, SERVER, 10, 80)]
    late = [Span(2, 1, None, 0, CLIENT, 0, 50), Span(2, 2, 1, 1, SERVER, 10, 400)]
    both, alone = (service_edges(graph_of(forest_of(pairs)), np.ones(2)) for pairs in (spans + late, late))
    assert both.select("calls", "gap_weight", "gap_ms").row(0) == (2, 1, 20e-6)
    assert alone.select("calls", "gap_weight", "gap_ms").row(0) == (1, 0, None)


def test_histograms_of_edges_are_mergeable_and_near_the_quantiles() -> None:
    """By minute, for rollups."""
    spans = [Span(t, 1, None, 0, CLIENT, (t % 2) * oracle.MINUTE, t * 1000, peer="x") for t in range(1, 200)]
    graph = graph_of(forest_of(spans))
    rows = edge_histograms(graph)
    assert rows["minute"].unique().sort().to_list() == [0, 1]
    found = histogram_quantiles(rows, ["edge"], {"p99": 0.99})["p99"].item()
    assert found / 1e6 == pytest.approx(service_edges(graph, np.ones(199))["p99_ms"].item(), rel=0.006)


def test_no_spans_make_an_empty_graph() -> None:
    """With all columns; and a span that calls nobody makes no edge."""
    graph = graph_of(forest_of([]), [(1, 1, 1, 2)])
    assert graph.calls.equals(empty(CALLS))
    assert graph.nodes.filter(pl.col("type") != "service").height == 0
    assert graph.nodes.schema == pl.Schema(GRAPH_NODES)
    assert service_edges(graph, np.ones(0)).equals(empty(EDGES))
    assert edge_histograms(graph).height == 0
    assert calls_of([Span(1, 1, None, 0, CLIENT, 0, 10)]) == []
    assert graph_of(forest_of([Span(1, 1, None, 0, CLIENT, 0, 10)])).unnamed_calls == 1


def test_cycles_and_services_without_a_name_have_calls() -> None:
    """Whatever is wrong with the spans."""
    spans = [Span(1, 1, 2, 0, CLIENT, 0, 10), Span(1, 2, 1, 1, SERVER, 1, 5)]
    resources = conform(pl.DataFrame({"resource": [3], "service": [""]}), RESOURCES)
    graph = graph_of(build_forest(span_frame(spans), resources))
    assert [call[2:4] for call in named_calls(graph)] == [("unknown_service", "unknown_service")]
