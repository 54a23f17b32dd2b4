"""Every section belongs to the service, edge or outside system that time was lost to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given

from analytics.attribution import attribute_sections
from analytics.critical_path import critical_path
from analytics.schema import ATTRIBUTED, NODES, empty
from tests.analytics import oracle
from tests.analytics.frames import FORESTS, PATIENT, forest_of
from tests.analytics.oracle import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Span

if TYPE_CHECKING:
    from analytics.forest import Forest


def attributed(forest: Forest) -> pl.DataFrame:
    """Return the sections with their nodes, newest first."""
    result = attribute_sections(forest, critical_path(forest))
    assert result.sections.schema == pl.Schema(ATTRIBUTED)
    assert result.nodes.schema == pl.Schema(NODES)
    assert result.nodes["node"].to_list() == list(range(result.nodes.height))
    joined = result.sections.join(result.nodes, on="node", how="left")
    return joined.sort("trace", "end_unix_nano", descending=[False, True])


def nodes(spans: list[Span], **columns: Any) -> list[tuple[str, str | None, int]]:
    """Return name, side and length of each section, newest first."""
    length = pl.col("end_unix_nano") - pl.col("begin_unix_nano")
    return attributed(forest_of(spans, **columns)).select("name", "side", length).rows()


@PATIENT
@given(FORESTS)
def test_nodes_are_the_oracles(spans: list[Span]) -> None:
    """Name and side of every section."""
    expected = oracle.trees(spans)
    names = []
    for trace in sorted({s.trace for s in spans}):
        root = oracle.root_of(expected, trace)
        names += oracle.attribute(oracle.critical_path(root), expected) if root else []
    got = attributed(forest_of(spans)).select("kind", "type", "name", "side").rows()
    assert got == [_row(*node) for node in names]


def _row(kind: str, *rest: Any) -> tuple[str, str | None, str, str | None]:
    if kind == "edge":
        return "edge", None, f"s{rest[0]}->s{rest[1]}", rest[2]
    if kind == "peer":
        return "service", "external", rest[0], None
    return "service", "service", f"s{rest[0]}", None


def test_what_the_server_leaves_of_its_client_is_the_edges() -> None:
    """Request and response sides apart; the caller keeps its own work."""
    spans = [
        Span(1, 1, None, 0, SERVER, 0, 100),
        Span(1, 2, 1, 0, CLIENT, 10, 80),
        Span(1, 3, 2, 1, SERVER, 40, 45),
    ]
    assert nodes(spans) == [
        ("s0", None, 10),
        ("s0->s1", "response", 5),
        ("s1", None, 45),
        ("s0->s1", "request", 30),
        ("s0", None, 10),
    ]


def test_a_client_around_a_client_waits_for_the_same_callee() -> None:
    """Two instrumented libraries make two spans of one call."""
    spans = [
        Span(1, 1, None, 0, CLIENT, 0, 100, peer="s1:80"),
        Span(1, 2, 1, 0, CLIENT, 10, 80, peer="s1:80"),
        Span(1, 3, 2, 1, SERVER, 40, 45),
    ]
    assert {name for name, _, _ in nodes(spans)} == {"s0->s1", "s1"}


def test_a_server_off_the_path_still_makes_an_edge_without_sides() -> None:
    """The whole client span is a gap: nothing tells where in it the server worked."""
    spans = [Span(1, 1, None, 0, CLIENT, 0, 100), Span(1, 2, 1, 1, SERVER, 500, 10)]
    assert nodes(spans) == [("s0->s1", None, 100)]


def test_the_answer_on_the_path_comes_before_one_that_ends_later() -> None:
    """Both outlast the client; the one that started later was waited for."""
    spans = [
        Span(1, 1, None, 0, CLIENT, 0, 100),
        Span(1, 2, 1, 1, SERVER, 10, 290),
        Span(1, 3, 1, 2, SERVER, 20, 130),
    ]
    assert nodes(spans) == [("s2", None, 80), ("s0->s2", "request", 20)]


def test_a_retry_between_two_servers_is_on_the_request_side() -> None:
    """Only what follows the last answer is response."""
    spans = [
        Span(1, 1, None, 0, CLIENT, 0, 100),
        Span(1, 2, 1, 1, SERVER, 10, 20),
        Span(1, 3, 1, 1, SERVER, 50, 20),
    ]
    assert [(side, length) for name, side, length in nodes(spans) if name == "s0->s1"] == [
        ("response", 30),
        ("request", 20),
        ("request", 10),
    ]


def test_a_call_to_itself_is_an_edge_of_its_own() -> None:
    """A service that calls itself waits on its network as well."""
    spans = [Span(1, 1, None, 0, CLIENT, 0, 100), Span(1, 2, 1, 0, SERVER, 10, 80)]
    assert {name for name, _, _ in nodes(spans)} == {"s0->s0", "s0"}


@pytest.mark.parametrize(
    ("columns", "kind", "expected"),
    [
        ({"db_system": "postgresql", "server_address": "db", "db_namespace": "shop"}, "database", "postgresql db/shop"),
        ({"db_system": "postgresql", "db_namespace": "shop"}, "database", "postgresql shop"),
        ({"db_system": "redis", "peer_service": "cache"}, "database", "redis cache"),
        ({"db_system": "sqlite"}, "database", "sqlite"),
        ({"messaging_system": "kafka", "messaging_destination": "orders"}, "queue", "orders"),
        ({"messaging_system": "kafka"}, "queue", "kafka"),
        ({"server_address": "api.pay.example", "server_port": 443}, "external", "api.pay.example:443"),
        ({"server_address": "api.pay.example"}, "external", "api.pay.example"),
        ({"peer_service": "pay", "server_address": "10.0.0.1"}, "external", "pay"),
        ({"server_port": 443}, "service", "s0"),
        ({"server_address": ""}, "service", "s0"),
        ({}, "service", "s0"),
    ],
)
def test_a_client_without_a_server_is_what_it_names(columns: dict[str, Any], kind: str, expected: str) -> None:
    """A database by system, address and namespace, a queue by destination, others by service or address."""
    for place in (CLIENT, PRODUCER):
        got = attributed(forest_of([Span(1, 1, None, 0, place, 0, 100)], **{k: [v] for k, v in columns.items()}))
        assert got.select("type", "name", "kind").rows() == [(kind, expected, "service")]
    inside = forest_of([Span(1, 1, None, 0, INTERNAL, 0, 100)], **{k: [v] for k, v in columns.items()})
    assert attributed(inside)["name"].to_list() == ["s0"]


def test_a_consumer_is_no_server_of_a_client() -> None:
    """Publishing is not waiting for whoever reads."""
    spans = [Span(1, 1, None, 0, CLIENT, 0, 100, peer="broker"), Span(1, 2, 1, 1, CONSUMER, 200, 10)]
    assert nodes(spans) == [("broker", None, 100)]


def test_nothing_is_attributed_to_nothing() -> None:
    """Empty in, empty out, with all columns."""
    result = attribute_sections(forest_of([]), critical_path(forest_of([])))
    assert result.sections.equals(empty(ATTRIBUTED))
    assert result.nodes.equals(empty(NODES))
