"""Quantiles are exact where values are at hand, and within 0.543 % where only buckets are."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.quantiles import (
    ZERO,
    bucket_of,
    histogram,
    histogram_quantiles,
    merge_histograms,
    middle_of,
    weighted_quantiles,
)
from tests.analytics import oracle
from tests.analytics.frames import PATIENT

WIDTH = 2 ** (1 / 128) - 1
NAMES = {"p40": 0.4, "p50": 0.5, "p60": 0.6, "p95": 0.95, "p99": 0.99, "min": 0.0, "max": 1.0}
VALUES = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 10**13), st.integers(1, 5)), min_size=1, max_size=40)


def frame_of(rows: list[tuple[str, int, int]]) -> pl.DataFrame:
    """Return keys, values and weights as a frame."""
    return pl.DataFrame(rows, schema={"key": pl.String, "value": pl.Int64, "weight": pl.Int64}, orient="row")


@PATIENT
@given(VALUES)
def test_weighted_quantiles_are_those_of_values_written_as_often_as_they_weigh(
    rows: list[tuple[str, int, int]],
) -> None:
    """A weight of 3 is three requests."""
    got = weighted_quantiles(frame_of(rows), ["key"], "value", "weight", NAMES)
    keys = sorted({key for key, _, _ in rows})
    assert got["key"].to_list() == keys
    for key in keys:
        mine = [(float(value), weight) for other, value, weight in rows if other == key]
        for name, q in NAMES.items():
            assert got.filter(key=key)[name].item() == pytest.approx(oracle.quantile(mine, q), rel=1e-9)


@PATIENT
@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=50))
def test_unweighted_quantiles_are_numpys(values: list[int]) -> None:
    """One definition of interpolation: linear."""
    frame = pl.DataFrame({"value": values, "weight": 1.0})
    got = weighted_quantiles(frame, [], "value", "weight", NAMES)
    assert got.row(0) == pytest.approx(tuple(np.quantile(values, list(NAMES.values()))), rel=1e-9)


@PATIENT
@given(VALUES, st.integers(0, 40))
def test_merged_histograms_are_within_half_a_bucket(rows: list[tuple[str, int, int]], split: int) -> None:
    """However the values were spread over histograms before these were added up."""
    parts = [histogram(frame_of(part), ["key"], "value", "weight") for part in (rows[:split], rows[split:])]
    whole = histogram(frame_of(rows), ["key"], "value", "weight")
    assert merge_histograms(parts, ["key"]).equals(whole)
    exact = weighted_quantiles(frame_of(rows), ["key"], "value", "weight", NAMES)
    got = histogram_quantiles(whole, ["key"], NAMES)
    assert got["key"].equals(exact["key"])
    for name in NAMES:
        assert got[name].to_numpy() == pytest.approx(exact[name].to_numpy(), rel=WIDTH * 1.0001)


@PATIENT
@given(st.lists(st.integers(1, 2**63 - 1), min_size=1))
def test_a_bucket_holds_what_lies_between_its_bounds(values: list[int]) -> None:
    """Index i is (2^(i/64), 2^((i+1)/64)]; its geometric middle is at most 0.543 % off."""
    array = np.array(values)
    bucket = bucket_of(array).astype(np.float64)
    assert (np.exp2(bucket / 64) < array * (1 + 1e-12)).all()
    assert (np.exp2((bucket + 1) / 64) >= array * (1 - 1e-12)).all()
    assert middle_of(bucket_of(array)) == pytest.approx(array, rel=WIDTH * 1.0001)


def test_powers_of_two_close_their_bucket_and_zero_has_its_own() -> None:
    """The upper bound is inclusive, as in OpenTelemetry."""
    assert bucket_of(np.array([0, -5, 1, 2, 4, 5])).tolist() == [ZERO, ZERO, -1, 63, 127, 148]
    assert middle_of(np.array([ZERO])).tolist() == [0.0]


def test_whole_weights_are_not_needed_and_no_weight_does_not_count() -> None:
    """Sampling gives fractions; a value that weighs nothing is not there."""
    frame = pl.DataFrame({"key": ["a", "a", "b"], "value": [10, 20, 5], "weight": [1.5, 2.5, 0.0]})
    got = weighted_quantiles(frame, ["key"], "value", "weight", {"low": 0.1, "half": 0.5})
    assert got.rows() == [("a", 10.0, 20.0)]
    assert weighted_quantiles(frame[:2], [], "value", "weight", {"third": 1 / 3}).item() == pytest.approx(15.0)


def test_nothing_has_no_quantiles() -> None:
    """Neither fails, with and without keys."""
    frame = frame_of([])
    assert weighted_quantiles(frame, ["key"], "value", "weight", NAMES).height == 0
    assert weighted_quantiles(frame, [], "value", "weight", NAMES).height == 0
    rows = histogram(frame, ["key"], "value")
    assert rows.schema == {"key": pl.String, "bucket": pl.Int16, "weight": pl.Float64}
    assert histogram_quantiles(rows, ["key"], NAMES).height == 0
