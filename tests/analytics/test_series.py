"""Series say what the spans of each bucket say, whether they come from spans or from rollups, through the query API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from analytics.buckets import COARSE_ERROR, FINE_ERROR
from analytics.hours import HOUR_NS, HourKeeper
from analytics.options import Options
from analytics.pipeline import MinutePipeline
from analytics.series import EDGE_SERIES, ENDPOINT_SERIES, SERVICE_SERIES, read_series
from analytics.service import TraceAnalysis
from collector.decode.decoder import concatenate
from collector.errors import ConfigurationError, LithoscopeError
from collector.position import LogPosition
from collector.store import open_store
from collector.store.protocol import QueryLimits
from tests.analytics.series_places import apart, dozen, keep, rolled, served
from tests.analytics.shop import shop, shop_store
from tests.analytics.test_report import request
from tests.collector.store.telemetry import START_NS, spans

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.batch import Batch
    from collector.store.protocol import Store

COLUMNS = {
    "services": SERVICE_SERIES,
    "systems": SERVICE_SERIES,
    "endpoints": ENDPOINT_SERIES,
    "edges": EDGE_SERIES,
}
MINUTE_NS = 60 * 10**9


def asked(store: Store, **given: str) -> dict[str, Any]:
    """The answer, which can be written down."""
    answer = TraceAnalysis().series(store, given)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    return answer


def fill(store: Store, *batches: Batch) -> None:
    """Append batches."""
    store.append(concatenate(batches), LogPosition(1, 1))


def near(value: float | None, error: float) -> Any:
    """What equals a value, or null."""
    return None if value is None else pytest.approx(value, rel=error)


def roll(store: Store) -> None:
    """Roll up and judge all that is there, as a collector does."""
    now = [1000.0]
    pipeline = MinutePipeline(store, clock=lambda: now[0])
    pipeline.step()
    now[0] += 30
    pipeline.step()
    HourKeeper(store, Options(), clock=lambda: now[0]).step()


@pytest.mark.parametrize("state", ["monolith", "incident"])
def test_figures_are_those_of_the_spans(state: str) -> None:
    """Calls, errors, means and quantiles of every minute and service, counted once more from the spans."""
    answer = asked(shop_store(state))
    subject = shop(state)
    forest, graph = subject.analysed.forest, subject.analysed.graph
    entries = np.flatnonzero(graph.entries)
    rows = pl.DataFrame(
        {
            "name": forest.origins.services["service"].gather(pl.Series(forest.service[entries])),
            "minute": forest.traces["minute"].gather(pl.Series(forest.trace[entries])),
            "ms": forest.duration[entries] / 1e6,
            "error": forest.column("status", entries) == "error",
        }
    )
    assert answer["bucket_seconds"] == 60
    found = {(row["name"], row["start_unix_nano"] // MINUTE_NS): row for row in answer["rows"]}
    groups = rows.partition_by("name", "minute", as_dict=True)
    assert found.keys() == groups.keys()
    for key, group in groups.items():
        row, ms = found[key], group["ms"].to_numpy()
        assert (row["calls"], row["p99_known"]) == (group.height, group.height >= 100)
        assert row["calls_per_s"] == pytest.approx(group.height / 60)
        assert row["error_rate"] == pytest.approx(group["error"].to_numpy().mean())
        assert row["concurrency"] == pytest.approx(ms.sum() / 60_000)
        for name, quantile in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
            assert row[name] == pytest.approx(np.quantile(ms, quantile), rel=FINE_ERROR)


@pytest.mark.parametrize("of", COLUMNS)
def test_one_bucket_is_the_report(of: str) -> None:
    """Of all time, what the report says of services, systems, endpoints and edges."""
    store = shop_store("monolith")
    report = TraceAnalysis().report(store, {})
    answer = asked(store, of=of, bucket="1000h")
    assert answer["of"] == of
    assert len({row["start_unix_nano"] for row in answer["rows"]}) == 1
    kind = "services" if of == "systems" else of
    keys = {"services": ("name", "type"), "endpoints": ("service", "operation")}
    key = keys.get(kind, ("caller", "callee", "mode"))
    told = {tuple(row[name] for name in key): row for row in report[kind]}
    for row in answer["rows"]:
        assert list(row) == list(COLUMNS[of])
        same = told[tuple(row[name] for name in key)]
        assert row["calls"] == same["traces" if of == "endpoints" else "calls"]
        for name in sorted(row.keys() & same.keys() & {"error_rate", "gap_ms", "self_time_ms", "critical_path_ms"}):
            assert row[name] == near(same[name], 1e-6), (name, row)
        assert row["p99_ms"] == near(same["p99_ms"], FINE_ERROR)
    wanted = {"services": {"service"}, "systems": {"database", "queue", "external"}}
    if of in wanted:
        assert {row["type"] for row in answer["rows"]} <= wanted[of]


def test_rollups_say_what_spans_say(store: Store) -> None:
    """The same rows, before a pipeline has kept anything and after; only then is something settled."""
    fill(store, *(request(number, 10 + number % 7, 5) for number in range(1, 200)))
    before = {of: asked(store, of=of) for of in COLUMNS}
    roll(store)
    for of, answer in before.items():
        after = asked(store, of=of)
        assert after["settled_through"] == after["to"]
        assert answer["settled_through"] is None
        assert len(answer["rows"]) == len(after["rows"]) > 0
        for one, other in zip(answer["rows"], after["rows"], strict=True):
            assert other == {name: near(v, 1e-9) if isinstance(v, float) else v for name, v in one.items()}


@pytest.fixture(scope="module")
def half_a_day() -> Iterator[Store]:
    """Twelve services over twelve hours, a minute in every half hour, and no spans left."""
    store = open_store(":memory:")
    keep(store, apart(rolled(dozen()), 31, times=5))
    yield store
    store.close()


def test_long_windows_are_told_by_hours(half_a_day: Store) -> None:
    """Which are added up already; narrower buckets are coarser, and have no critical paths."""
    hours = asked(half_a_day)
    assert (hours["bucket_seconds"], hours["quantile_error"]) == (3600, FINE_ERROR)
    assert all(row["critical_path_ms"] is not None for row in hours["rows"])
    narrow = asked(half_a_day, bucket="30m")
    assert (narrow["bucket_seconds"], narrow["quantile_error"]) == (1800, COARSE_ERROR)
    assert {row["critical_path_ms"] for row in narrow["rows"]} == {None}
    assert sum(row["calls"] for row in narrow["rows"]) == sum(row["calls"] for row in hours["rows"])
    wide, coarse = (asked(half_a_day, of=of, bucket="1000h") for of in ("services", "edges"))
    assert (wide["quantile_error"], coarse["quantile_error"]) == (FINE_ERROR, COARSE_ERROR)


def test_coarse_quantiles_are_within_their_error(half_a_day: Store) -> None:
    """Of every row, against the fine ones."""
    whole = asked(half_a_day, bucket="1000h")["rows"]
    rough = asked(half_a_day, bucket="60001m")["rows"]
    assert [row["name"] for row in whole] == [row["name"] for row in rough]
    for one, other in zip(whole, rough, strict=True):
        for name in ("p50_ms", "p95_ms", "p99_ms"):
            assert other[name] == pytest.approx(one[name], rel=COARSE_ERROR + FINE_ERROR)


def test_buckets_that_are_cut_have_shorter_seconds(half_a_day: Store) -> None:
    """What came in them is divided by the minutes of the window that they hold."""
    first = asked(half_a_day)["from"]
    until = first + 90 * MINUTE_NS
    answer = asked(half_a_day, to=str(until / 1e9), bucket="1h")
    assert (answer["from"], answer["to"]) == (first, first + 63 * MINUTE_NS)
    came: dict[str, float] = {}
    for row in answer["rows"]:
        seconds = 3600 if row["start_unix_nano"] == first else 180
        came[row["name"]] = came.get(row["name"], 0.0) + row["calls_per_s"] * seconds
    whole = asked(half_a_day, to=str(until / 1e9), bucket="1000h")["rows"]
    assert {row["name"]: pytest.approx(row["calls_per_s"] * 63 * 60) for row in whole} == came
    assert all(row["calls"] <= came[row["name"]] <= 2 * row["calls"] for row in whole), "a third stands for two"


def test_the_busiest_series_stay_as_a_whole(half_a_day: Store) -> None:
    """As many rows as are asked for, and how many series are left out."""
    every, some = asked(half_a_day), asked(half_a_day, rows="50")
    assert (every["left_out"], len(some["rows"]) <= 50) == (0, True)
    names = {row["name"] for row in some["rows"]}
    assert len(names) + some["left_out"] == 12
    assert some["rows"] == [row for row in every["rows"] if row["name"] in names]
    calls: dict[str, int] = {}
    for row in every["rows"]:
        calls[row["name"]] = calls.get(row["name"], 0) + row["calls"]
    assert sorted(calls, key=lambda name: -calls[name])[: len(names)] == sorted(names, key=lambda name: -calls[name])
    assert len(asked(half_a_day, rows="1")["rows"]) == 1


@pytest.mark.parametrize("of", ["services", "endpoints", "edges"])
def test_one_service_can_be_asked_for(half_a_day: Store, of: str) -> None:
    """By its name; edges that begin or end there."""
    rows = asked(half_a_day, of=of, name="gateway")["rows"]
    assert rows
    sides = ("name", "service", "caller", "callee")
    assert all("gateway" in [row[side] for side in sides if side in row] for row in rows)


def test_nothing_has_no_rows(store: Store) -> None:
    """An empty store, and a window without a span."""
    for of in COLUMNS:
        answer = asked(store, of=of)
        assert (answer["rows"], answer["from"], answer["environments"]) == ([], None, [])
    fill(store, request(1, 10, 5))
    roll(store)
    assert asked(store, since="1m")["rows"] == []


def test_one_span_is_one_row(store: Store) -> None:
    """Its minute, its time, and one caller."""
    fill(
        store,
        spans({"name": "GET /", "kind": 2, "end_time_unix_nano": START_NS + 10**7}, resource={"service.name": "a"}),
    )
    for _ in range(2):
        answer = asked(store)
        (row,) = answer["rows"]
        assert (row["name"], row["calls"], row["p99_known"]) == ("a", 1, False)
        assert row["p50_ms"] == pytest.approx(10, rel=FINE_ERROR)
        assert row["critical_path_ms"] == pytest.approx(10)
        assert row["calls_per_s"] == pytest.approx(1 / 60)
        assert answer["from"] == START_NS // MINUTE_NS * MINUTE_NS
        roll(store)


def test_environments_are_never_mixed(store: Store) -> None:
    """The one with most traces, unless another is asked for; unknown ones are named."""
    fill(store, *(request(number, 10, 5) for number in range(1, 4)), request(9, 10, 5, "test"))
    for _ in range(2):
        assert (asked(store)["environment"], asked(store)["environments"]) == ("live", ["live", "test"])
        assert sum(row["calls"] for row in asked(store)["rows"]) == 3
        assert [row["calls"] for row in asked(store, env="test")["rows"]] == [1]
        with pytest.raises(ConfigurationError, match="No trace has the environment 'prod': give one of live, test"):
            asked(store, env="prod")
        roll(store)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"of": "pods"}, "of: 'pods' is none of services, systems, endpoints, edges"),
        ({"rows": "many"}, "rows: 'many' is not a whole number from 1"),
        ({"rows": "0"}, "rows: '0'"),
        ({"rows": "9" * 5000}, "rows: '99999999999999999999' is not a whole number from 1 to 999999999"),
        ({"bucket": "10s"}, "bucket: '10s' is not a number of whole minutes"),
        ({"depth": "3"}, "depth is no option of series"),
        ({"since": "1h", "from": "0"}, "Give either"),
    ],
)
def test_wrong_options_are_told(store: Store, given: dict[str, str], said: str) -> None:
    """In a sentence with the remedy."""
    with pytest.raises(ConfigurationError, match=said):
        read_series(store, given, Options())


def test_the_query_api_says_the_same(store: Store, tmp_path: Path) -> None:
    """And what is wrong is status 400."""
    fill(store, *(request(number, 10, 5) for number in range(1, 40)))
    roll(store)
    analysis = TraceAnalysis()
    with served(store, tmp_path) as client:
        assert client.series(of="edges", since="20000d") == analysis.series(store, {"of": "edges"})
        assert client.saturation() == analysis.saturation(store, {})
        history = client.coupling_history()
        assert history == analysis.coupling_history(store, {})
        with pytest.raises(LithoscopeError, match="none of services"):
            client.series(of="pods")
        with pytest.raises(LithoscopeError, match="is no option of saturation"):
            client.saturation(of="pods")
        with pytest.raises(LithoscopeError, match="is no option of the history"):
            client.coupling_history(of="pods")
    (hour,) = history["rows"]
    kept = store.query("SELECT score, grade, traces FROM coupling_index", QueryLimits()).to_pylist()
    assert [{name: hour[name] for name in ("score", "grade", "traces")}] == kept
    assert hour["start_unix_nano"] == START_NS // HOUR_NS * HOUR_NS
    assert all(list(part) == ["name", "value", "contribution"] for part in hour["components"])


def test_history_without_judged_hours_is_empty(store: Store) -> None:
    """Nothing stored, nothing judged."""
    assert TraceAnalysis().coupling_history(store, {}) == {
        "environment": "",
        "environments": [],
        "bucket_seconds": 3600,
        "rows": [],
    }


def test_an_environment_that_is_not_analysed_yet_is_no_mistake(store: Store) -> None:
    """After a start on a file of old spans its history is empty, and its series comes from its spans."""
    known, late = ({"service.name": "web", "deployment.environment.name": name} for name in ("known", "late"))
    fill(store, spans(*({"span_id": bytes([number] * 8)} for number in range(1, 5)), resource=known))
    roll(store)
    fill(store, spans({"trace_id": b"\7" * 16, "start_time_unix_nano": START_NS}, resource=late))
    assert [row["calls"] for row in asked(store, env="late")["rows"]] == [1]
    assert asked(store, env="known")["settled_through"] is not None
    assert TraceAnalysis().coupling_history(store, {"env": "late"})["rows"] == []
    with pytest.raises(ConfigurationError, match="give one of"):
        asked(store, env="unknown")
