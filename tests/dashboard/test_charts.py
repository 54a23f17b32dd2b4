"""Charts say what the answers say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from dashboard.charts.before_after import before_after
from dashboard.charts.deltas import delta_bars
from dashboard.charts.distribution import distribution
from dashboard.charts.load import throughput_law
from dashboard.charts.matrix import dependency_matrix
from dashboard.charts.over_time import over_time
from dashboard.charts.service_map import LENSES, service_map
from dashboard.charts.waterfall import waterfall
from dashboard.theme import GREY, KINDS, amount_colour
from dashboard.units import count, ms, percent


def node(name: str, kind: str = "service", calls: int = 10, **shares: float | None) -> dict[str, Any]:
    """A service of a report."""
    unknown = dict.fromkeys(filter(None, LENSES.values()))
    return {"name": name, "type": kind, "calls": calls, **unknown, **shares}


def edge(caller: str, callee: str, mode: str = "sync", calls: int = 10) -> dict[str, Any]:
    """An edge of a report."""
    return {"caller": caller, "callee": callee, "mode": mode, "calls": calls}


def test_the_map_tells_kinds_modes_and_calls_apart() -> None:
    """Colour by kind, dashes for messages, wider lines for more calls, a frame for what is wrong."""
    services = [node("web"), node("db", "database"), node("mail")]
    option = service_map(services, [edge("web", "db", calls=1000), edge("web", "mail", "async")], framed={"db"})
    drawn = option["series"][0]
    styles = {item["id"]: item["itemStyle"] for item in drawn["data"]}
    assert [styles[name]["color"] for name in ("web", "db")] == [KINDS["service"], KINDS["database"]]
    assert [name for name, style in styles.items() if "borderColor" in style] == ["db"]
    lines = {item["target"]: item["lineStyle"] for item in drawn["edges"]}
    assert [lines[name]["type"] for name in ("db", "mail")] == ["solid", "dashed"]
    assert lines["db"]["width"] > lines["mail"]["width"]


def test_a_lens_colours_by_its_share_and_grey_is_unknown() -> None:
    """The tooltip has the figure."""
    drawn = service_map([node("a", error_rate=0.25), node("b")], [], "errors")["series"][0]["data"]
    assert [item["itemStyle"]["color"] for item in drawn] == [amount_colour(0.25), GREY]
    assert [item["name"].rpartition(" · ")[2] for item in drawn] == ["errors 25%", "errors \u2013"]


def test_edges_to_what_is_not_shown_are_left_out() -> None:
    """A line needs both its ends."""
    assert service_map([node("a")], [edge("a", "b")])["series"][0]["edges"] == []


def test_the_waterfall_places_spans_and_their_critical_path() -> None:
    """Bars begin where spans do; a section lies on its span's row, and one of a span that is not shown nowhere."""
    common = {"service": "web", "name": "GET /", "kind": "server", "status": "ok"}
    rows = [
        common | {"span_id": "a", "depth": 0, "start_unix_nano": 5_000_000, "duration_ns": 4_000_000},
        common | {"span_id": "b", "depth": 1, "start_unix_nano": 6_000_000, "duration_ns": 0},
    ]
    sections = [
        {"span_id": "a", "start_unix_nano": 5_000_000, "end_unix_nano": 9_000_000},
        {"span_id": "gone", "start_unix_nano": 5_000_000, "end_unix_nano": 9_000_000},
    ]
    events = [
        {"span_id": "b", "time_unix_nano": 6_500_000, "name": "retry", "failed": False},
        {"span_id": "gone", "time_unix_nano": 6_500_000, "name": "retry", "failed": True},
    ]
    before, spans, path, marks = waterfall(rows, sections, events)["series"]
    assert before["data"] == [0.0, 1.0]
    assert [item["value"] for item in spans["data"]] == [4.0, 0.001]
    assert [mark["value"] for mark in marks["data"]] == [[1.5, 1]]
    assert path["markLine"]["data"] == [[{"coord": [0.0, 0]}, {"coord": [4.0, 0]}]]


@given(st.floats(-0.5, 1.5))
def test_every_share_has_a_colour(share: float) -> None:
    """Also what lies outside."""
    assert len(amount_colour(share)) == len("#rrggbb")


def test_the_matrix_marks_what_calls_back() -> None:
    """Below the diagonal; messages are dots, and sixty services still fit."""
    calls = [
        {"caller": "a", "callee": "b", "mode": "sync", "calls": 10, "via": None},
        {"caller": "b", "callee": "a", "mode": "sync", "calls": 1000, "via": None},
        {"caller": "b", "callee": "c", "mode": "async", "calls": 5, "via": "mail"},
        {"caller": "b", "callee": "gone", "mode": "sync", "calls": 5, "via": None},
    ]
    drawn = dependency_matrix([["a", "b"], ["c"]], calls).to_dict()
    rows = [row for rows in drawn["datasets"].values() for row in rows]
    cells = {(row["caller"], row["callee"]): row for row in rows if "mode" in row}
    assert {pair: row["back"] for pair, row in cells.items()} == {
        ("a", "b"): False,
        ("b", "a"): True,
        ("b", "c"): False,
    }
    assert [row for row in rows if "first" in row] == [{"first": "a", "last": "b"}]
    names = [f"service-{number:02}" for number in range(60)]
    assert 600 <= dependency_matrix([names], []).to_dict()["width"] <= 800


def test_before_and_after_are_two_dots_a_row() -> None:
    """Endpoints of which one is unknown are left out; the names of columns are no words that Vega refuses."""
    rows: list[dict[str, Any]] = [
        {"endpoint": "a", "p99_before_ms": 1.0, "p99_after_ms": 3.0},
        {"endpoint": "b", "p99_before_ms": None, "p99_after_ms": 3.0},
    ]
    drawn = before_after(rows, "p99_{}_ms", "p99", ",.0f").to_dict()
    assert list(drawn["datasets"].values()) == [rows[:1]]
    titles = {tip.get("title") for layer in drawn["layer"] for tip in layer["encoding"].get("tooltip", [])}
    assert titles == {None, "now", "with the change"}


def test_a_distribution_marks_the_quantiles_that_are_known() -> None:
    """Each a line with its figure."""
    buckets = pl.DataFrame({"low_ms": [1.0, 2.0], "high_ms": [2.0, 4.0], "traces": [5, 1]})
    drawn = distribution(buckets, {"p50": 1.5, "p95": 12_345.0, "p99": None}).to_dict()
    labels = [row["label"] for rows in drawn["datasets"].values() for row in rows if "label" in row]
    assert labels == ["p50 1.5 ms", "p95 12.3 s"]


def test_deltas_come_with_the_slower_first() -> None:
    """Of many, those that changed most either way."""
    rows = [{"name": f"n{number}", "delta_ms": number - 10.5} for number in range(30)]
    (shown,) = delta_bars(rows).to_dict()["datasets"].values()
    names = [row["name"] for row in shown]
    assert len(names) == 12
    assert (names[0], names[-1]) == ("n29", "n0")


def test_gunther_s_law_is_drawn_where_it_is_known() -> None:
    """A curve through the dots, and a line at its peak; else dots alone."""
    rows: list[dict[str, Any]] = [{"concurrency": 2.0, "calls_per_s": 15.0}, {"concurrency": None, "calls_per_s": 1.0}]
    law = {"rate": 9.0, "contention": 0.1, "crosstalk": 0.01, "peak": 9.5}
    drawn = throughput_law(rows, law).to_dict()
    assert [layer["mark"]["type"] for layer in drawn["layer"]] == ["point", "rule", "line"]
    curve = max(drawn["datasets"].values(), key=len)
    assert curve[-1]["concurrency"] == 2.4
    assert abs(curve[-1]["calls_per_s"] - 9 * 2.4 / (1 + 0.14 + 0.01 * 2.4 * 1.4)) < 1e-9
    alone = throughput_law(rows, dict.fromkeys(law)).to_dict()
    assert [layer["mark"]["type"] for layer in alone["layer"]] == ["point"]


def test_of_many_instances_those_with_the_greatest_values_are_drawn() -> None:
    """As many as there are colours."""
    rows = [(f"i{number:02}", datetime(2026, 11, 23), float(number)) for number in range(20)]  # noqa: DTZ001
    drawn = over_time(pl.DataFrame(rows, schema=["instance", "time", "value"], orient="row"), "1").to_dict()
    (points,) = drawn["datasets"].values()
    assert [point["instance"] for point in points] == [f"i{number:02}" for number in range(12, 20)]


def test_figures_are_short() -> None:
    """Three digits are enough to read, and nothing is unknown in a way of its own."""
    assert [ms(value) for value in (None, 0.1234, 12.3, 345.6, 12_345.0)] == [
        "\u2013",
        "0.123 ms",
        "12.3 ms",
        "346 ms",
        "12.3 s",
    ]
    assert [percent(value) for value in (None, 0.0, 0.034, 0.5)] == ["\u2013", "0.0%", "3.4%", "50%"]
    assert [count(value) for value in (None, 12345)] == ["\u2013", "12,345"]


def test_many_points_are_thinned_in_each_instance() -> None:
    """And a chart of as many as a page may send is drawn."""
    times = [datetime(2026, 11, 23, tzinfo=UTC) + timedelta(minutes=number) for number in range(4_000)]
    points = pl.DataFrame(
        {
            "instance": ["a"] * 4_000 + ["b"] * 4_000,
            "time": [*times, *times],
            "value": [number / 4_000 for number in range(4_000)] * 2,
        }
    )
    chart = over_time(points, "utilisation").to_dict()
    (rows,) = chart["datasets"].values()
    assert [sum(row["instance"] == name for row in rows) for name in "ab"] == [2_000, 2_000]
