"""Utilisation is read off metrics of all names, and the scarcest resource of a service comes first."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.metric_aliases import METRIC_ALIASES, MetricAlias
from analytics.resources import resource_minutes
from analytics.saturation import resource_use, service_saturation
from analytics.schema import Columns, empty
from analytics.service_schema import RESOURCE_MINUTES, RESOURCE_USE, SATURATION
from tests.analytics import load_oracle
from tests.analytics.frames import PATIENT
from tests.analytics.load_oracle import Point

ENTRIES = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))
COLUMNS: Columns = {
    "time": pl.Datetime("ns"),
    "start_time": pl.Datetime("ns"),
    "service_name": pl.String,
    "service_instance_id": pl.String,
    "metric_name": pl.String,
    "unit": pl.String,
    "type": pl.String,
    "aggregation_temporality": pl.String,
    "is_monotonic": pl.Boolean,
    "value": pl.Float64,
    "attributes": ENTRIES,
    "resource_attributes": ENTRIES,
}


def row(metric: str, value: float | None, second: int = 0, *, service: str = "s", **more: Any) -> dict[str, Any]:
    """Return one point of a ``metrics`` view; ``attributes`` is a mapping."""
    attributes = more.pop("attributes", {})
    return {
        "time": second * 1_000_000_000,
        "service_name": service,
        "service_instance_id": "i",
        "metric_name": metric,
        "value": value,
        "attributes": [{"key": key, "value": text} for key, text in attributes.items()],
        "resource_attributes": [{"key": "deployment.environment.name", "value": "prod"}],
    } | more


def metrics(*rows: dict[str, Any]) -> pl.DataFrame:
    """Return a frame as the view gives it."""
    return pl.DataFrame([dict.fromkeys(COLUMNS) | one for one in rows], schema=COLUMNS, orient="row")


def shares(*rows: dict[str, Any], **options: Any) -> list[float | None]:
    """Return the utilisations."""
    return resource_minutes(metrics(*rows), **options)["utilisation"].to_list()


POINTS = st.lists(
    st.builds(
        Point,
        instance=st.sampled_from(["i", "j"]),
        metric=st.sampled_from(
            [
                "db.client.connection.count",
                "db.client.connection.max",
                "db.client.connection.pending_requests",
                "process.cpu.time",
                "process.cpu.count",
            ]
        ),
        state=st.sampled_from([None, "used", "idle"]),
        pool=st.sampled_from([None, "a"]),
        second=st.integers(0, 130),
        value=st.integers(0, 9).map(float),
    ),
    max_size=16,
)


@settings(PATIENT)
@given(POINTS)
def test_utilisations_are_the_oracles(points: list[Point]) -> None:
    """Used by the limit of the same pool or the only one, else by all; pending at all; counters by their growth."""
    rows = [
        row(
            point.metric,
            point.value,
            point.second,
            service_instance_id=point.instance,
            attributes={k: v for k, v in (("state", point.state), ("pool.name", point.pool)) if v},
        )
        for point in points
    ]
    found = resource_minutes(metrics(*rows))
    assert found.schema == pl.Schema(RESOURCE_MINUTES)
    got = {
        (r["instance"], r["metric"], "a" if r["part"] else None, r["minute"]): r["utilisation"]
        for r in found.iter_rows(named=True)
    }
    expected = load_oracle.utilisations(points)
    assert set(got) == set(expected)
    for key, value in expected.items():
        assert got[key] == (None if value is None else pytest.approx(value)), key


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row("process.cpu.utilization", 0.4), row("jvm.cpu.recent_utilization", 0.5)], [0.5, 0.4]),
        ([row("process.cpu.utilization", 40.0, unit="%")], [0.4]),
        ([row("process.cpu.utilization", 1.7)], [1.0]),
        (
            [
                row("system.cpu.utilization", share, attributes={"cpu.mode": mode, "cpu.logical_number": cpu})
                for cpu, idle in (("0", 0.2), ("1", 0.6))
                for mode, share in (("idle", idle), ("user", 1 - idle))
            ],
            [pytest.approx(0.6)],
        ),
        (
            [
                row("process.cpu.time", 0.0, 0, is_monotonic=True),
                row("process.cpu.time", 60.0, 30, is_monotonic=True),
                row("process.cpu.time", 5.0, 40, is_monotonic=True),
                row("process.cpu.count", 4.0),
            ],
            [0.5],
        ),
        (
            [
                row("container.cpu.time", 9.0, 20, aggregation_temporality="delta", start_time=10_000_000_000),
                row("container.cpu.limit", 2.0),
            ],
            [0.45],
        ),
        ([row("jvm.memory.used_after_last_gc", 90.0), row("jvm.memory.limit", 100.0)], [0.9]),
        ([row("db.client.connections.usage", 3.0), row("db.client.connections.max", 4.0)], [0.75]),
        ([row("kafka.consumer_group.lag", 7.0)], [None]),
        ([row("process.cpu.utilization", None)], []),
        ([row("unheard.of", 1.0)], []),
    ],
)
def test_metrics_of_old_and_new_names_are_read(rows: list[dict[str, Any]], expected: list[float | None]) -> None:
    """Shares, percentages, parts and processors, counters with restarts and deltas, levels."""
    assert shares(*rows) == expected


def pool(name: str, used: float | None = None, limit: float | None = None) -> list[dict[str, Any]]:
    """Return what is said of a pool."""
    said = {"pool.name": name} if name else {}
    points = (("db.client.connection.count", used), ("db.client.connection.max", limit))
    return [row(metric, value, attributes=said) for metric, value in points if value is not None]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([*pool("a", 2.0, 4.0), *pool("b", 2.0, 8.0)], [0.5, 0.25]),
        ([*pool("a", 2.0), *pool("", None, 8.0)], [0.25]),
        ([*pool("a", 2.0), *pool("b", None, 8.0), *pool("c", None, 9.0)], [None]),
        ([*pool("a", 2.0, 0.0)], [None]),
        (
            [
                row("container.cpu.usage", 1.0),
                row("container.cpu.limit", 2.0),
                row("k8s.container.cpu.limit", 4.0),
            ],
            [0.25],
        ),
    ],
)
def test_limits_are_the_parts_own_or_the_only_one(rows: list[dict[str, Any]], expected: list[float | None]) -> None:
    """Of several metrics the first in the alias that is there."""
    assert shares(*rows) == expected


def test_pending_requests_saturate_at_their_worst() -> None:
    """One moment of the minute is enough."""
    waiting = [row("db.client.connection.pending_requests", value, second) for second, value in ((0, 0.0), (30, 3.0))]
    assert resource_minutes(metrics(*waiting)).select("level", "utilisation").rows() == [(3.0, 1.0)]


def test_users_add_aliases_and_replace_them() -> None:
    """Names nobody else knows."""
    mine = {"our.slots.busy": MetricAlias("threads", "used", ("our.slots",)), "process.cpu.utilization": _percent()}
    found = shares(row("our.slots.busy", 3.0), row("our.slots", 4.0), row("process.cpu.utilization", 0.5), aliases=mine)
    assert found == [0.5, 0.75]


def _percent() -> MetricAlias:
    return MetricAlias("cpu", "share")


def test_aliases_make_sense() -> None:
    """Only what is measured against something has limits."""
    for alias in METRIC_ALIASES.values():
        assert not alias.limits or alias.reading in {"used", "rate"}


def test_attributes_may_be_maps() -> None:
    """As DuckDB gives them."""
    frame = metrics(
        row("db.client.connection.count", 2.0, attributes={"state": "used"}), row("db.client.connection.max", 4.0)
    )
    maps = frame.with_columns(pl.col("attributes", "resource_attributes").cast(pl.Map(pl.String, pl.String)))
    assert resource_minutes(maps).equals(resource_minutes(frame))
    assert resource_minutes(frame)["environment"].to_list() == ["prod"]
    bare = frame.drop("unit", "start_time", "aggregation_temporality", "is_monotonic")
    assert resource_minutes(bare).equals(resource_minutes(frame))


def use(values: list[float], since: int | None = None, metric: str = "process.cpu.utilization") -> dict[str, Any]:
    """Return the use of a resource with one value a minute."""
    rows = [row(metric, value, 60 * minute) for minute, value in enumerate(values)]
    found = resource_use(resource_minutes(metrics(*rows)), since)
    assert found.schema == pl.Schema(RESOURCE_USE)
    return found.row(0, named=True)


@pytest.mark.parametrize(
    ("values", "severity"), [([0.1, 0.79], "info"), ([0.1, 0.8], "warning"), ([0.1, 0.9], "critical")]
)
def test_severity_follows_the_worst_minute(values: list[float], severity: str) -> None:
    """From 0.8 and from 0.9 on."""
    found = use(values)
    assert (found["severity"], found["max"], found["minutes_over"]) == (severity, values[1], int(values[1] >= 0.8))
    assert (found["jump"], found["jumped"], found["past_minutes"]) == (None, None, 0)


def test_a_jump_against_its_own_past_is_a_warning() -> None:
    """Far in points and in deviations; of levels by the factor."""
    assert (use([0.1] * 5 + [0.5], 5)["jumped"], use([0.1] * 5 + [0.5], 5)["severity"]) == (True, "warning")
    assert use([0.1] * 4 + [0.5], 4)["jumped"] is None
    assert use([0.1] * 5 + [0.25], 5)["jumped"] is False
    assert use([0.1, 0.5, 0.1, 0.5, 0.3, 0.55], 5)["jumped"] is False
    lag = "kafka.consumer_group.lag"
    assert (use([10.0] * 5 + [20.0], 5, lag)["jumped"], use([10.0] * 5 + [19.0], 5, lag)["jumped"]) == (True, False)
    assert use([10.0] * 5 + [20.0], 5, lag)["severity"] == "warning"
    assert use([10.0] * 5 + [19.0], 5, lag)["severity"] is None


def test_a_service_is_as_saturated_as_its_worst_resource() -> None:
    """The worst service first; without a known utilisation it is null."""
    minutes = resource_minutes(
        metrics(
            row("process.cpu.utilization", 0.3),
            row("db.client.connection.pending_requests", 2.0, attributes={"pool.name": "p"}),
            row("process.cpu.utilization", 0.85, service="t"),
            row("jvm.thread.count", 85.0, service="u"),
        )
    )
    used = resource_use(minutes)
    assert used["max"].to_list() == [1.0, 0.85, 0.3, None]
    found = service_saturation(used)
    assert found.schema == pl.Schema(SATURATION)
    assert found.select("service", "saturation", "severity", "saturation_source").rows() == [
        ("s", 1.0, "critical", "db_pool: db.client.connection.pending_requests on i (pool.name=p)"),
        ("t", 0.85, "warning", "cpu: process.cpu.utilization on i"),
        ("u", None, None, None),
    ]


def test_no_metrics_say_nothing() -> None:
    """With all columns."""
    minutes = resource_minutes(metrics())
    assert minutes.equals(empty(RESOURCE_MINUTES))
    assert resource_use(minutes, 3).equals(empty(RESOURCE_USE))
    assert service_saturation(resource_use(minutes)).equals(empty(SATURATION))
