"""What a service's resources, latency and gaps did under its load is told over time, from rollups and from spans."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from analytics.load import hot_instances, instance_load, windows_of
from analytics.rollups import roll_up
from analytics.rules.hot_instance import resources_of
from analytics.saturation_series import (
    GAP_SERIES,
    HOT_ROWS,
    INSTANCE_SERIES,
    LAWS,
    LOAD_SERIES,
    QUEUES,
    RESOURCE_SERIES,
)
from analytics.service import TraceAnalysis
from analytics.service_schema import SATURATION
from tests.analytics.ramped import LONG_RAMP, loaded
from tests.analytics.series_places import keep
from tests.analytics.shop import shop, shop_store
from tests.analytics.test_report import request
from tests.analytics.test_series import fill, roll

if TYPE_CHECKING:
    from collector.store.protocol import Store

MINUTE_NS = 60 * 10**9
PARTS = {
    "services": [name for name in SATURATION if name != "environment"],
    "resources": RESOURCE_SERIES,
    "load": LOAD_SERIES,
    "laws": LAWS,
    "gaps": GAP_SERIES,
    "queueing": QUEUES,
    "instances": INSTANCE_SERIES,
    "hot_instances": HOT_ROWS,
}


def asked(store: Store, **given: str) -> dict[str, Any]:
    """The answer, which can be written down and has all columns."""
    answer = TraceAnalysis().saturation(store, given)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    for part, columns in PARTS.items():
        assert all(list(row) == list(columns) for row in answer[part])
    return answer


def test_the_incident_s_pool_is_full_in_its_minutes() -> None:
    """As its metrics say, by minute, and payment is the worst of the services."""
    answer = asked(shop_store("incident"))
    assert answer["services"][0]["service"] == "payment"
    assert answer["services"][0]["saturation"] == 1.0
    pool = shop("incident").minutes.filter(
        (pl.col("service") == "payment") & (pl.col("metric") == "db.client.connection.count")
    )
    rows = [r for r in answer["resources"] if (r["service"], r["metric"]) == ("payment", "db.client.connection.count")]
    assert [(r["start_unix_nano"] // MINUTE_NS, r["utilisation"], r["utilisation_max"], r["level"]) for r in rows] == [
        (minute, used, used, level) for minute, used, level in pool.select("minute", "utilisation", "level").rows()
    ]
    assert answer["left_out"] == {"resources": 0, "load": 0, "gaps": 0, "instances": 0}


def test_instances_are_those_of_the_spans() -> None:
    """Of the whole recording, when that is few spans: load by minute, and who is hot."""
    answer = asked(shop_store("decoupled"))
    subject = shop("decoupled")
    analysed = subject.analysed
    assert answer["instances_based_on"]["share"] == 0.5
    resources = resources_of(analysed)
    load = instance_load(
        analysed.graph, resources, analysed.weights, windows_of(analysed.forest), analysed.self_time_ns
    )
    expected = load["throughput"].to_numpy().sum()
    assert sum(row["calls_per_s"] for row in answer["instances"]) == pytest.approx(expected, rel=0.1)
    judged = hot_instances(analysed.graph, resources, analysed.weights)
    assert {row["instance"] for row in answer["hot_instances"]} == set(judged["instance"])


def test_the_knee_and_the_queue_of_a_ramp_are_found(store: Store) -> None:
    """One worker that needs 13 ms: from the minutes of its rollups alone, no span is left."""
    subject = loaded(1, ms=13, ramp=LONG_RAMP, workers=1, instances=1)
    keep(store, roll_up(subject.analysed) | {"rollup_resources": subject.minutes})
    answer = asked(store)
    load = {(row["start_unix_nano"], row["service"]): row["calls_per_s"] for row in answer["load"]}
    for gap in answer["gaps"]:
        assert gap["callee_calls_per_s"] == pytest.approx(load[gap["start_unix_nano"], gap["callee"]])
    (queue,) = answer["queueing"]
    assert (queue["caller"], queue["callee"], queue["status"]) == ("front", "stock", "found")
    laws = {row["service"]: row for row in answer["laws"]}
    assert laws["stock"]["levels"] >= 6
    assert laws["stock"]["law_unknown"] is None
    assert laws["stock"]["rate"] == pytest.approx(1000 / 13, rel=0.2)
    for law in laws.values():
        assert (law["knee_calls_per_s"] is None) == (law["knee_unknown"] is not None)
        assert (law["rate"] is None) == (law["law_unknown"] is not None)
    assert {row["service"] for row in answer["load"]} == {"front", "stock"}
    assert (answer["instances"], answer["hot_instances"], answer["instances_based_on"]) == ([], [], {})
    assert {row["resource"] for row in answer["resources"] if row["service"] == "stock"} >= {"threads"}
    assert {row["service"] for row in asked(store, service="stock")["load"]} == {"stock"}


def test_few_requests_have_no_p99_and_no_law(store: Store) -> None:
    """It says why."""
    fill(store, *(request(number, 10, 5) for number in range(1, 50)))
    for _ in range(2):
        answer = asked(store)
        (law,) = answer["laws"]
        assert law["knee_unknown"] == "not enough load levels: 0 of 6"
        assert {row["p99_ms"] for row in answer["load"]} == {None}
        assert answer["resources"] == answer["services"] == []
        roll(store)


def test_nothing_has_no_rows(store: Store) -> None:
    """All parts are there."""
    answer = asked(store)
    assert {name: answer[name] for name in PARTS} == {name: [] for name in PARTS}


def test_rows_are_bounded(store: Store) -> None:
    """Series as a whole, the fullest and the busiest first."""
    subject = loaded(1, ms=13, ramp=LONG_RAMP, workers=1, instances=1)
    keep(store, roll_up(subject.analysed) | {"rollup_resources": subject.minutes})
    answer = asked(store, rows="10")
    assert len(answer["resources"]) <= 10
    assert answer["left_out"]["resources"] > 0
    assert answer["resources"][0]["service"] == "stock"
