"""Suggested numbers are round, on the safe side, and follow from what is usual."""

from __future__ import annotations

import pytest

from analytics.rules.suggestions import breaker_rate, format_ms, rounded_up


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, 0.0), (647.0, 650.0), (650.0, 650.0), (651.0, 660.0), (1.01, 1.1), (0.0123, 0.013), (99.1, 100.0)],
)
def test_thresholds_are_rounded_up(value: float, expected: float) -> None:
    """To two digits."""
    assert rounded_up(value) == expected


@pytest.mark.parametrize(
    ("usual", "expected"), [(0.0, 0.1), (0.01, 0.1), (0.066, 0.2), (0.2, 0.4), (0.4, 0.5), (1.0, 0.5)]
)
def test_breakers_open_well_above_what_is_usual(usual: float, expected: float) -> None:
    """Between 10 and 50 %."""
    assert breaker_rate(usual) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ms", "expected"),
    [(0.123, "0.12 ms"), (8.06, "8.1 ms"), (99.6, "100 ms"), (240.4, "240 ms"), (2600, "2.6 s"), (29258, "29.3 s")],
)
def test_times_have_the_digits_that_they_are_good_for(ms: float, expected: str) -> None:
    """Two or three."""
    assert format_ms(ms) == expected
