"""What alerts see is what the rollups of their window say; too little is neither broken nor whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import polars.selectors as cs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.alerts.looks import Look, look_at_hours, look_at_minutes
from analytics.alerts.rules import Condition
from analytics.hours import HOUR_FINDINGS, HOUR_INDEX, HOUR_NS
from analytics.quantiles import bucket_of
from analytics.schema import ROLLUPS, conform
from analytics.source import slowest_traces
from collector.decode.decoder import concatenate
from collector.position import LogPosition
from collector.store import open_store
from tests.analytics.test_report import request
from tests.collector.store.telemetry import START_NS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analytics.schema import Columns
    from collector.store.protocol import Store

MINUTE_NS = 60 * 10**9
MS = 10**6
HOUR = START_NS // HOUR_NS
FIRST = HOUR * 60

Request = tuple[int, str, int, bool]
"""Minute, operation, milliseconds, failed."""


@pytest.fixture
def store() -> Iterator[Store]:
    """An empty store."""
    store = open_store(":memory:")
    yield store
    store.close()


@pytest.fixture(scope="module")
def shared_store() -> Iterator[Store]:
    """A store for all examples of a test: opening one takes longer than what is tested."""
    store = open_store(":memory:")
    yield store
    store.close()


def keep(store: Store, requests: Sequence[Request], *, anew: bool = False) -> None:
    """Keep the rollups of requests to endpoints of one service; ``anew`` forgets those of the first ten minutes."""
    rows = pl.DataFrame(requests, schema=["minute", "operation", "ms", "failed"], orient="row").with_columns(
        pl.col("minute") + FIRST, environment=pl.lit("live"), service=pl.lit("shop"), weight=pl.lit(1.0)
    )
    rows = rows.with_columns(pl.Series("bucket", bucket_of(rows["ms"].to_numpy() * MS)))
    key = ["minute", "environment", "service", "operation"]
    tables = {
        "rollup_windows": rows.group_by("minute", "environment").agg(traces=pl.len(), spans=pl.len()),
        "rollup_endpoints": rows.group_by(key).agg(
            traces=pl.len(), weight=pl.col("weight").sum(), errors=pl.col("failed").cast(pl.Float64).sum()
        ),
        "rollup_latency": rows.group_by(*key, "bucket").agg(pl.col("weight").sum()),
    }
    whole = {name: conform(frame, ROLLUPS[name]) for name, frame in tables.items()}
    filled = {name: frame.with_columns(cs.numeric().fill_null(0)).to_arrow() for name, frame in whole.items()}
    store.finish_minutes(range(FIRST, FIRST + 10) if anew else sorted(set(rows["minute"])), filled)


def seen(store: Store, condition: Condition, minute: int, through: int | None = None) -> tuple[list[Look], int | None]:
    """What an alert sees at the end of a minute."""
    given = None if through is None else FIRST + through
    looks, latest = look_at_minutes(store, [condition], (FIRST + minute + 1) * MINUTE_NS, given)
    return looks, None if latest is None else latest - FIRST


def expected(requests: Sequence[Request], condition: Condition, end: int) -> tuple[set[str], set[str]]:
    """By the definition: which endpoints break the rule, and which have enough requests to tell."""
    broken, known = set(), set()
    for operation in sorted({one[1] for one in requests}):
        within = [one for one in requests if one[1] == operation and end - condition.minutes < one[0] <= end]
        if len(within) < condition.requests:
            continue
        known.add(f"shop {operation}")
        p99 = float(np.quantile([one[2] for one in within], 0.99))
        rate = sum(one[3] for one in within) / len(within)
        is_slow = condition.p99_ms is not None and p99 > condition.p99_ms
        if is_slow or (condition.error_rate is not None and rate > condition.error_rate):
            broken.add(f"shop {operation}")
    return broken, known


@settings(max_examples=40, deadline=None)
@given(
    requests=st.lists(
        st.tuples(
            st.integers(0, 8), st.sampled_from("ab"), st.sampled_from([10, 400, 700]), st.booleans()
        ),
        min_size=1,
        max_size=40,
    ),
    minutes=st.integers(1, 6),
    least=st.integers(1, 5),
    limits=st.sampled_from([(500.0, None), (None, 0.5), (500.0, 0.5)]),
)  # fmt: skip
def test_windows_are_those_of_the_definition(
    shared_store: Store,
    requests: list[Request],
    minutes: int,
    least: int,
    limits: tuple[float | None, float | None],
) -> None:
    """Each that ends with a minute in which there was anything, and the newest; bounds of buckets are far from 500."""
    condition = Condition(
        name="x", endpoint="shop .*", p99_ms=limits[0], error_rate=limits[1], minutes=minutes, requests=least
    )
    keep(shared_store, requests, anew=True)
    looks, latest = seen(shared_store, condition, 9, through=-1)
    ends = sorted({one[0] for one in requests})
    assert latest == ends[-1]
    assert [look.end // MINUTE_NS - 1 - FIRST for look in looks] == ends
    for look, end in zip(looks, ends, strict=True):
        broken, known = expected(requests, condition, end)
        assert set(look.broken) == broken
        assert {name for name in ("shop a", "shop b") if look.holds(name)} == known
        assert (look.begin, look.clears) == ((FIRST + end - minutes + 1) * MINUTE_NS,) * 2


def test_what_breaks_is_told_in_figures(store: Store) -> None:
    """Those that are over their limit."""
    keep(store, [(1, "GET /", 700, number < 5) for number in range(20)])
    condition = Condition(name="x", endpoint="shop GET.*", p99_ms=500.0, error_rate=0.1, requests=20)
    ((look,), _) = seen(store, condition, 1)
    fact = look.broken["shop GET /"]
    latency, errors = fact.compared
    assert latency["value"] == pytest.approx(700, rel=0.00543)
    assert errors == {"name": "error_rate", "value": 0.25, "limit": 0.1}
    assert (fact.services, fact.endpoint, fact.evidence) == (
        ("shop",),
        ("shop", "GET /"),
        {"requests": 20, "minutes": 5},
    )


def test_others_are_not_looked_at(store: Store) -> None:
    """The pattern must match as a whole, and the environment be that of the alert."""
    keep(store, [(1, "GET /", 700, False)] * 20)
    for other in ("GET /", "shop"):
        (look,), _ = seen(store, Condition(name="x", p99_ms=5.0, requests=1, endpoint=other), 1)
        assert look.broken == {}
    away = Condition(name="x", endpoint=".*", p99_ms=5.0, requests=1, environment="test")
    assert seen(store, away, 1) == ([], 1)


def test_what_is_old_alerts_nobody(store: Store) -> None:
    """An import of last week is history; so is what a clock puts into the future."""
    keep(store, [(1, "GET /", 700, False)] * 20)
    condition = Condition(name="x", endpoint=".*", p99_ms=5.0, requests=1)
    assert len(seen(store, condition, 60)[0]) == 1
    assert seen(store, condition, 61) == ([], None)
    assert seen(store, condition, -1) == ([], None)
    assert look_at_minutes(store, [], START_NS, 7) == ([], 7)


def test_the_slowest_traces_are_those_of_the_endpoint(store: Store) -> None:
    """Five at most; or those that failed alone, of which there are none."""
    store.append(concatenate([request(number, number, 1) for number in range(1, 8)]), LogPosition(1, 1))
    window = (START_NS, START_NS + MINUTE_NS)
    found = slowest_traces(store, window, "live", ("shop", "GET /"))
    assert found == [number.to_bytes(16).hex() for number in (7, 6, 5, 4, 3)]
    assert slowest_traces(store, window, "live", ("shop", "GET /"), failed=True) == []
    assert slowest_traces(store, window, "live", ("shop", "it's")) == []
    assert slowest_traces(store, window, "test", ("shop", "GET /")) == []


def judged(store: Store, hour: int, score: float | None, *findings: dict[str, Any]) -> None:
    """Keep what an hour was judged to be."""
    keep(store, [(hour * 60, "GET /", 5, False)])
    keys = {"hour": HOUR + hour, "environment": "live"}
    index: dict[str, Any] = {
        "traces": 50,
        "share": 1.0,
        "score": score,
        "grade": "unknown" if score is None else "tight",
    }
    parts = [{"name": "cycles", "value": 1.0, "weight": 0.15, "contribution": 15.0, "explanation": ""}]
    index |= {"components": parts, "lowers": [{"edge": "a->b", "if_async": 1.0, "if_removed": 2.0}]}
    rows = [
        keys
        | {"status": "found", "severity": "warning", "score": 0.5, "title": "t", "services": ["b", "a"], "edges": []}
        | {"evidence": json.dumps({"n": 3}), "trace_ids": ["1"], "advice": "Mend it."}
        | finding
        for finding in findings
    ]
    store.finish_hour(
        HOUR + hour, {"hour_index": table([keys | index], HOUR_INDEX), "hour_findings": table(rows, HOUR_FINDINGS)}
    )


def table(rows: Sequence[dict[str, Any]], columns: Columns) -> Any:
    """Rows as the store takes them; what they do not have is null."""
    return pl.DataFrame([{name: row.get(name) for name in columns} for row in rows], schema=dict(columns)).to_arrow()


def hours(store: Store, condition: Condition, hour: float) -> list[tuple[int, list[str], bool]]:
    """Of each look its hour, what is broken, and whether everything else holds for certain."""
    looks = look_at_hours(store, [condition], START_NS + round(hour * HOUR_NS))
    return [(look.begin // HOUR_NS - HOUR, sorted(look.broken), look.holds("cascade: a")) for look in looks]


INDEX = Condition(name="x", coupling_index=60.0)
CASCADE = Condition(name="x", finding="cascade")


def test_an_hour_that_is_not_over_breaks_but_does_not_hold(store: Store) -> None:
    """The one before it counts as well, until it is over."""
    judged(store, 0, 70.0)
    judged(store, 1, 50.0)
    assert hours(store, INDEX, 0.5) == [(0, [""], False)]
    assert hours(store, INDEX, 1.5) == [(0, [""], True), (1, [], False)]
    assert hours(store, INDEX, 2.1) == [(1, [], True)]
    assert hours(store, INDEX, 5.0) == []


def test_an_index_that_is_not_known_is_neither(store: Store) -> None:
    """Too few traces."""
    judged(store, 0, None)
    assert hours(store, INDEX, 1.0) == [(0, [], False)]


def test_the_index_tells_its_parts_and_edges(store: Store) -> None:
    """What it consists of, and what would lower it."""
    judged(store, 0, 70.0)
    (look,) = look_at_hours(store, [INDEX], START_NS + HOUR_NS)
    fact = look.broken[""]
    assert list(fact.compared) == [{"name": "coupling_index", "value": 70.0, "limit": 60.0}]
    assert (fact.services, fact.edges) == (["a", "b"], ["a->b"])
    assert fact.evidence == {"grade": "tight", "cycles": 15.0}


@pytest.mark.parametrize(
    ("condition", "broken"),
    [
        (CASCADE, ["cascade: a and b"]),
        (Condition(name="x", finding="any"), ["cascade: a and b", "hub: a and b"]),
        (Condition(name="x", finding="any", severity="critical"), ["hub: a and b"]),
        (Condition(name="x", finding="any", services="b|c"), ["cascade: a and b", "hub: a and b"]),
        (Condition(name="x", finding="any", services="c.*"), []),
        (Condition(name="x", finding="cycle"), []),
    ],
)
def test_findings_are_chosen_by_rule_severity_and_service(
    store: Store, condition: Condition, broken: list[str]
) -> None:
    """What is unknown is not found."""
    judged(
        store,
        0,
        5.0,
        {"rule": "cascade"},
        {"rule": "hub", "severity": "critical"},
        {"rule": "cycle", "status": "unknown"},
    )
    assert hours(store, condition, 1.0) == [(0, broken, True)]


def test_a_rule_that_cannot_tell_does_not_hold(store: Store) -> None:
    """Of its findings; those of other rules are as they are."""
    judged(store, 0, 5.0, {"rule": "cascade", "status": "unknown", "severity": "info"})
    assert hours(store, Condition(name="x", finding="any"), 1.0) == [(0, [], False)]
    (look,) = look_at_hours(store, [Condition(name="x", finding="any")], START_NS + HOUR_NS)
    assert look.holds("hub: a")


def test_a_finding_tells_what_it_told(store: Store) -> None:
    """The worse one, of two about the same services."""
    judged(store, 0, 5.0, {"rule": "cascade", "title": "bad", "severity": "critical"}, {"rule": "cascade"})
    (look,) = look_at_hours(store, [CASCADE], START_NS + HOUR_NS)
    fact = look.broken["cascade: a and b"]
    assert (fact.title, list(fact.trace_ids), list(fact.services)) == ("bad", ["1"], ["b", "a"])
    assert fact.evidence == {"n": 3, "score": 0.5, "advice": "Mend it."}
