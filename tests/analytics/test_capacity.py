"""Capacity is told where load varied enough, and otherwise what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import capacity
from analytics.capacity import find_knee, fit_scalability, load_levels, utilisation
from tests.analytics.frames import PATIENT

if TYPE_CHECKING:
    from analytics.arrays import Floats


def law(n: Floats, rate: float, contention: float, crosstalk: float) -> Floats:
    """Return the throughput that the scalability law says."""
    x: Floats = rate * n / (1 + contention * (n - 1) + crosstalk * n * (n - 1))
    return x


def test_utilisation_is_littles_law_by_slots() -> None:
    """40 a second for 0.1 s are 4 at once, of 2 x 4 slots; unknown without these."""
    assert utilisation(40, 0.1, 2, 4) == pytest.approx(0.5)
    assert [utilisation(40, 0.1, *unknown) for unknown in ((None, 4), (2, None), (0, 4), (2, -1))] == [None] * 4


@settings(PATIENT, max_examples=30)
@given(
    st.floats(1, 1000),
    st.floats(0, 0.9),
    st.floats(0, 0.01),
    st.integers(2, 40),
)
def test_the_law_is_found_again(rate: float, contention: float, crosstalk: float, top: int) -> None:
    """Its parameters, from windows that follow it."""
    n = np.linspace(top / 10, top, 12)
    found = fit_scalability(n, law(n, rate, contention, crosstalk))
    assert found.reason is None
    assert found.rate is not None
    assert found.contention is not None
    assert found.crosstalk is not None
    assert found.rate.value == pytest.approx(rate, rel=1e-5)
    assert found.contention.value == pytest.approx(contention, abs=1e-5)
    assert found.crosstalk.value == pytest.approx(crosstalk, abs=1e-6)


def test_a_fit_is_never_worse_than_a_grid_finds() -> None:
    """The faces of the bounds hold the best solution, also where noise drives it out of them."""
    rng = np.random.default_rng(5)
    for _ in range(5):
        n = rng.uniform(0.5, 12, 12)
        x = 10 * n * rng.lognormal(0, 0.4, 12)
        rate, contention, crosstalk = capacity._fit(n, x)
        assert rate > 0
        assert 0 <= contention <= 1 + 1e-9
        assert crosstalk >= 0
        mine = _error(n, x, rate, contention, crosstalk)
        grid = min(
            _error(n, x, a, b, c)
            for a in rate * np.linspace(0.5, 1.5, 21)
            for b in np.linspace(0, 1, 11)
            for c in np.linspace(0, 0.2, 11)
        )
        assert mine <= grid + 1e-9


def test_contention_is_at_most_all_work() -> None:
    """Beyond that the law would divide by less than nothing below one request."""
    n = np.linspace(1, 12, 12)
    assert capacity._fit(n, law(n, 10, 5, 0))[1] <= 1 + 1e-9
    assert capacity._fit(n, law(n, 10, 0, 0) * n)[1:].tolist() == [0, 0]


def _error(n: Floats, x: Floats, rate: float, contention: float, crosstalk: float) -> float:
    return float(np.sum((x / law(n, rate, contention, crosstalk) - 1) ** 2))


def test_the_interval_holds_the_truth_under_noise() -> None:
    """And the peak, when there is one; without crosstalk none is in sight."""
    rng = np.random.default_rng(1)
    n = np.repeat(np.linspace(1, 40, 20), 6)
    noisy = law(n, 100, 0.05, 0.002) * rng.normal(1, 0.03, len(n))
    found = fit_scalability(n, noisy)
    assert found.peak is not None
    assert found.contention is not None
    for estimate, truth in ((found.peak, np.sqrt(0.95 / 0.002)), (found.contention, 0.05)):
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= truth <= estimate.high
    assert fit_scalability(n, law(n, 100, 0.05, 0) * rng.normal(1, 0.03, len(n))).peak is None
    assert fit_scalability(n, noisy) == found


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        ([], "not enough load levels: 0 of 6"),
        ([1, 2, 4], "not enough load levels: 3 of 6"),
        ([1.0] * 50, "not enough load levels: 1 of 6"),
        ([1, 1.2, 1.4, 1.7, 2.0, 2.4], "load varied by a factor of 2.4, 3 is needed"),
        ([0, 0, 0, 1, 2, 4], "not enough load levels: 3 of 6"),
    ],
)
def test_too_little_load_is_unknown_in_words(load: list[float], reason: str) -> None:
    """Levels first, then their range."""
    n = np.array(load, np.float64)
    assert fit_scalability(n, n).reason == reason
    assert find_knee(n, n).reason == reason


def test_a_law_that_does_not_fit_is_unknown() -> None:
    """Noise is no parameter."""
    n = np.linspace(1, 20, 40)
    assert "does not fit" in str(fit_scalability(n, np.random.default_rng(2).lognormal(0, 1, 40)).reason)


def test_levels_are_what_lies_within_fifteen_percent() -> None:
    """Of the level's least load."""
    level, count = load_levels(np.array([1.0, 3.0, 1.14, 1.15, 2.9]))
    assert (level.tolist(), count) == ([0, 2, 0, 1, 2], 3)


def knee(curve: Floats, noise: float) -> capacity.Knee:
    """Return the knee of a curve over ten levels with several windows each."""
    rng = np.random.default_rng(3)
    load = np.repeat(10 * 1.3 ** np.arange(10), 8)
    return find_knee(load, np.repeat(curve, 8) * rng.lognormal(0, noise, len(load)))


def test_a_knee_is_where_the_bend_is() -> None:
    """Flat up to the seventh level, steep from there."""
    found = knee(np.array([10, 10, 10, 10, 10, 10, 10, 60, 110, 160]), 0.05)
    assert found.reason is None
    assert found.load is not None
    assert found.load.value == pytest.approx(10 * 1.3**6)
    assert found.agreement >= 0.8


def test_what_is_no_knee_is_unknown_in_words() -> None:
    """Flat, straight, or lost in noise."""
    assert "does not rise" in str(knee(np.full(10, 10.0), 0.01).reason)
    assert "evenly" in str(knee(np.geomspace(10, 10 * 1.3**9, 10), 0.01).reason)
    assert "up and down" in str(knee(np.array([10, 30, 8, 25, 40, 9, 50, 12, 30, 90]), 0.01).reason)
    assert "not certain" in str(knee(np.array([10, 11, 12, 13, 14, 15, 30, 45, 60, 90]), 0.6).reason)
