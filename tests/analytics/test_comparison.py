"""Two sides are compared as the contract says, whatever names them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from analytics.diff_text import print_diff
from analytics.service import TraceAnalysis
from analytics.sides import Side, parse_side
from collector.decode.decoder import concatenate
from collector.errors import ConfigurationError
from collector.position import LogPosition
from collector.store import open_store
from collector.store.protocol import TraceWindow
from tests.analytics.test_report import request
from tests.collector.store.telemetry import START_NS, spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.batch import Batch
    from collector.store.protocol import Store

NS = 10**9


@pytest.fixture
def store() -> Iterator[Store]:
    """Ten requests of each of two environments, and later ten that are slow in the database."""
    store = open_store(":memory:")
    batches = [request(number, 10, 5) for number in range(1, 11)]
    batches += [request(number + 100, 30, 5, "test") for number in range(1, 11)]
    batches += [request(number + 200, 10, 45) for number in range(1, 11)]
    store.append(concatenate(batches), LogPosition(1, 1))
    yield store
    store.close()


def compared(store: Store, before: str, after: str, env: str | None = None) -> dict[str, Any]:
    """The ``diff`` object."""
    return TraceAnalysis().diff((store, before), (store, after), env)


def printed(diff: dict[str, Any]) -> list[str]:
    """What a terminal of 120 columns shows."""
    console = Console(file=io.StringIO(), width=120, color_system=None)
    print_diff(diff, console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def window(first: int, last: int) -> str:
    """Seconds after the start of the store, as a side."""
    return f"{START_NS // NS + first}..{START_NS // NS + last}"


def test_windows_are_compared_and_the_culprit_named(store: Store) -> None:
    """With the keys of the contract; of one environment on both sides."""
    diff = compared(store, window(0, 50), window(200, 250))
    assert (diff["before"]["traces"], diff["after"]["traces"]) == (10, 10)
    services = {row.pop("name"): row for row in diff["services"]}
    assert services["sqlite main"] == {
        "type": "database",
        "delta_ms": pytest.approx(40),
        "noise_ms": 0,
        "p99_before_ms": pytest.approx(5),
        "p99_after_ms": pytest.approx(45),
        "p99_known_before": False,
        "p99_known_after": False,
        "error_rate_before": 0,
        "error_rate_after": 0,
    }
    assert services["shop"]["delta_ms"] == pytest.approx(0)
    assert diff["edges"] == []
    (culprit,) = diff["culprits"]
    assert culprit == {
        "service": "sqlite main",
        "kind": "service",
        "name": "sqlite main",
        "delta_ms": pytest.approx(40),
        "score": pytest.approx(1),
        "explanation": "sqlite main itself: 5 -> 45 ms a request.",
    }


def test_the_coupling_is_compared(store: Store) -> None:
    """Edges, cycles, findings and index of both sides; those of other environments do not come and go."""
    coupling = compared(store, window(0, 50), "env:test")["coupling"]
    assert coupling == {
        **dict.fromkeys(("index_before", "index_after")),
        **dict.fromkeys(("missing_before", "missing_after"), "a second service: there is one"),
        **{name: [] for name in ("new_edges", "gone_edges", "new_cycles")},
        **{name: [] for name in ("new_findings", "gone_findings", "changed_findings")},
    }
    ((gone,), new) = (compared(store, "", window(900, 950))["coupling"][name] for name in ("gone_edges", "new_edges"))
    expected = {"caller": "shop", "callee": "sqlite main", "mode": "sync", "calls": 20, "certain": False}
    assert (gone, new) == (expected, [])


def test_environments_are_compared_with_each_other(store: Store) -> None:
    """Each side names its own."""
    diff = compared(store, "env:live", "env:test")
    assert (diff["before"]["environment"], diff["after"]["environment"]) == ("live", "test")
    assert [row["name"] for row in diff["culprits"]] == ["shop"]


def test_a_comparison_is_a_picture(store: Store) -> None:
    """Who is to blame comes first; nothing to blame is said."""
    lines = printed(compared(store, window(0, 50), window(200, 250)))
    assert lines[4] == "████████████   +40.0 ms  sqlite main itself: 5 -> 45 ms a request."
    assert "Nothing got slower." in printed(compared(store, "env:live", "env:live"))


def test_nothing_is_compared_in_words() -> None:
    """Empty sides have no culprit and no traceback."""
    store = open_store(":memory:")
    diff = compared(store, "", "")
    assert diff["culprits"] == diff["services"] == diff["edges"] == []
    assert any("There are no traces before and none after" in line for line in printed(diff))
    store.close()


def test_versions_are_compared(store: Store) -> None:
    """Those of the traces in which the service ran in each; an unknown one is told, with those that there are."""
    for version, work, first in (("1", 10, 300), ("2", 25, 320)):
        store.append(concatenate([versioned(number + first, work, version) for number in range(5)]), LogPosition(1, 2))
    diff = compared(store, "shop@1", "shop@2", "live")
    assert (diff["before"]["traces"], diff["after"]["traces"]) == (5, 5)
    assert [(row["name"], row["delta_ms"]) for row in diff["culprits"]] == [("shop", pytest.approx(15))]
    lines = printed(diff)
    times = "2026-11-23 12:00:00 to 12:00:00 UTC"
    few = "fewer than 30 traces prove little"
    assert lines[:2] == [
        f"before  live, shop@1  5 traces  5 spans  {times}  {few}",
        f"after   live, shop@2  5 traces  5 spans  {times}  {few}",
    ]
    (endpoint,) = (line for line in lines if line.startswith("shop GET "))
    assert endpoint.split()[-3:] == ["unknown", "0", "%"]
    with pytest.raises(ConfigurationError, match="No trace has shop in version 3: give shop@1, shop@2"):
        compared(store, "shop@1", "shop@3", "live")


def versioned(number: int, work_ms: int, version: str) -> Batch:
    """A request to a version of the shop."""
    times = {"start_time_unix_nano": START_NS, "end_time_unix_nano": START_NS + work_ms * 10**6}
    resource = {"service.name": "shop", "service.version": version, "deployment.environment.name": "live"}
    return spans({"trace_id": number.to_bytes(16), "name": "GET /", "kind": 2} | times, resource=resource)


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("", Side()),
        ("env:prod", Side(environment="prod")),
        ("shop@1.2", Side(service="shop", version="1.2")),
        ("1..2", Side(window=TraceWindow(NS, 2 * NS))),
        ("1970-01-01T00:00:01Z..2", Side(window=TraceWindow(NS, 2 * NS))),
    ],
)
def test_a_side_is_named_in_any_form(text: str, side: Side) -> None:
    """Those of the contract, files apart."""
    assert parse_side(text) == side


@pytest.mark.parametrize("text", ["shop", "@1", "shop@", "5..4", "soon..later", "..", "5.."])
def test_what_is_no_side_is_told(text: str) -> None:
    """In a sentence."""
    with pytest.raises(ConfigurationError):
        parse_side(text)


def test_a_version_is_looked_for_where_it_runs(store: Store) -> None:
    """In another environment than that with most traces too, when nobody says which."""
    rows = {"trace_id": b"\x09" * 16, "span_id": b"\x09" * 8}
    store.append(
        spans(rows, resource={"service.name": "late", "service.version": "2", "deployment.environment.name": "night"}),
        LogPosition(2, 1),
    )
    assert compared(store, "late@2", "late@2")["before"]["environment"] == "night"


def test_a_version_is_not_looked_for_elsewhere_when_somebody_says_where(store: Store) -> None:
    """An environment that is there is not called unknown for want of the version."""
    rows = {"trace_id": b"\x09" * 16, "span_id": b"\x09" * 8}
    night = {"service.name": "late", "service.version": "2", "deployment.environment.name": "night"}
    store.append(spans(rows, resource=night), LogPosition(2, 1))
    found = compared(store, "late@2", "late@2", "live")
    assert (found["before"]["environment"], found["before"]["traces"]) == ("live", 0)
