"""Buckets are as narrow as a picture needs, and what is in them is what their minutes add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analytics.buckets import MOST_BUCKETS, choose_width, parse_width
from analytics.rollups import add_up
from analytics.schema import ROLLUPS, conform
from collector.errors import ConfigurationError
from collector.store import open_store
from collector.store.protocol import Buckets
from tests.analytics.series_places import apart, dozen, keep, rolled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collector.store.protocol import Store

SUMMED = [name for name in ROLLUPS if name != "rollup_resources"]
FINE = ("namespace", "service", "operation", "bucket")


@given(st.integers(1, 10**8), st.integers(0, 10**8))
def test_there_are_never_too_many_buckets(minutes: int, first: int) -> None:
    """Wherever the window begins; a narrower width of a day or less would be too many."""
    width = choose_width(minutes, first)
    assert (first + minutes - 1) // width - first // width + 1 <= MOST_BUCKETS
    assert width == 1 or minutes > MOST_BUCKETS // 3
    assert width % 1440 == 0 or 1440 % width == 0


@pytest.mark.parametrize(
    ("minutes", "width"), [(1, 1), (60, 1), (120, 1), (121, 2), (600, 5), (1440, 15), (10080, 120), (129600, 1440)]
)
def test_widths_are_usual_ones(minutes: int, width: int) -> None:
    """Of an hour minutes, of a day a quarter of an hour, of a week two hours."""
    assert choose_width(minutes) == width


@pytest.mark.parametrize("text", ["90s", "0m", "soon", "-1h"])
def test_a_width_is_whole_minutes(text: str) -> None:
    """Others are told what to give."""
    with pytest.raises(ConfigurationError, match="bucket: "):
        parse_width(text)
    assert (parse_width("2h"), parse_width(None)) == (120, None)


@pytest.fixture(scope="module")
def rollups() -> dict[str, pl.DataFrame]:
    """Minutes half an hour apart, over some twelve hours."""
    return apart(rolled(dozen(150)), 31, times=5)


@pytest.fixture(scope="module")
def store(rollups: dict[str, pl.DataFrame]) -> Iterator[Store]:
    """A store that keeps them."""
    store = open_store(":memory:")
    keep(store, rollups)
    yield store
    store.close()


@pytest.mark.parametrize("width", [1, 45, 60, 120])
@pytest.mark.parametrize(("from_", "to"), [(0, 10**6), (17, 500), (60, 240)])
def test_the_store_adds_up_by_bucket(
    store: Store, rollups: dict[str, pl.DataFrame], width: int, from_: int, to: int
) -> None:
    """With sums of whole hours and without; of paths without what is too fine."""
    first = int(rollups["rollup_windows"]["minute"].to_numpy().min())
    begin, end = first + from_, first + to
    tables = store.bucket_rollups(SUMMED, Buckets(begin, end, width), "prod")
    for name in SUMMED:
        within = rollups[name].filter(pl.col("minute").is_between(begin, end - 1))
        within = within.with_columns(pl.col("minute") // width * width)
        if name == "rollup_paths":
            within = within.with_columns(pl.lit(None, ROLLUPS[name][key]).alias(key) for key in FINE)
        found = conform(pl.DataFrame(pl.from_arrow(tables[name])), ROLLUPS[name])
        assert_frame_equal(found, add_up(name, [within]), check_row_order=False, rel_tol=1e-9)


def test_types_are_chosen_and_latencies_made_coarser(store: Store) -> None:
    """A quarter of the buckets, with all their weight; buckets below none stay."""
    everything = Buckets(0, 10**9, 60)
    chosen = Buckets(0, 10**9, 60, ("database", "external"), coarse=True)
    names = ["rollup_nodes", "rollup_node_latency"]
    every, some = (store.bucket_rollups(names, buckets, "prod") for buckets in (everything, chosen))
    for name in names:
        assert set(some[name]["type"].to_pylist()) <= {"database", "external"}
    fine, coarse = (pl.DataFrame(pl.from_arrow(tables["rollup_node_latency"])) for tables in (every, some))
    keys = ["minute", "type", "namespace", "name", "bucket"]
    place = pl.col("bucket")
    expected = (
        fine.filter(pl.col("type").is_in(["database", "external"]))
        .with_columns(bucket=pl.when(place < 0).then(place).otherwise(place // 4 * 4 + 1).cast(pl.Int16))
        .group_by(keys)
        .agg(pl.col("weight").sum())
    )
    assert_frame_equal(coarse.select(*keys, "weight"), expected, check_row_order=False, rel_tol=1e-9)


def test_an_empty_store_has_no_buckets() -> None:
    """All tables, without a row."""
    store = open_store(":memory:")
    tables = store.bucket_rollups(list(ROLLUPS), Buckets(0, 10, 1), "")
    assert {name: table.num_rows for name, table in tables.items()} == dict.fromkeys(ROLLUPS, 0)
    store.close()
