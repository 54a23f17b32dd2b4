"""Shares, names and counts read as a person would write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.words import (
    cell_ms,
    counted,
    format_ms,
    format_number,
    listed,
    ms_change,
    percent,
    signed_cell_ms,
    signed_ms,
)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        *((0, "0 %"), (1, "100 %"), (0.5, "50 %"), (0.114, "11 %"), (0.0252, "2.5 %"), (0.001, "0.1 %")),
        *(
            (0.99, "99 %"),
            (0.999, "99.9 %"),
            (0.9987, "99.87 %"),
            (0.999999999, "over 99.9999 %"),
            (1e-9, "under 0.0001 %"),
        ),
    ],
)
def test_shares_keep_the_digits_that_matter(share: float, text: str) -> None:
    """Two of what they are away from 0 or 100."""
    assert percent(share) == text


def test_names_are_listed() -> None:
    """With an "and", and the rest counted."""
    assert [listed(list("abcd"[:count])) for count in range(4)] == ["none", "a", "a and b", "a, b and c"]
    assert listed(list("abcd"), most=2) == "a, b and 2 more"


def test_nouns_agree_with_numbers() -> None:
    """One trace, many traces."""
    assert (counted(1, "trace"), counted(1234, "trace")) == ("1 trace", "1,234 traces")


@pytest.mark.parametrize(
    ("ms", "text", "signed"),
    [
        *((0, "0 ms", "0 ms"), (-0.0001, "0 ms", "0 ms"), (0.00051, "0.001 ms", "+0.001 ms"), (5, "5 ms", "+5 ms")),
        *((45.53, "45.5 ms", "+45.5 ms"), (-1.234, "-1.23 ms", "-1.23 ms"), (99.96, "100 ms", "+100 ms")),
        *((3903.7, "3,904 ms", "+3,904 ms"), (float("inf"), "unknown", "unknown")),
    ],
)
def test_times_have_three_digits_and_their_unit(ms: float, text: str, signed: str) -> None:
    """Or all of those before the point, down to microseconds; a change of none has no sign."""
    assert (format_ms(ms), signed_ms(ms)) == (text, signed)


@pytest.mark.parametrize(
    ("ms", "text", "signed"),
    [
        *(
            (0, "0.0 ms", "0.0 ms"),
            (-0.0, "0.0 ms", "0.0 ms"),
            (0.01, "under 0.1 ms", "0.0 ms"),
            (5, "5.0 ms", "+5.0 ms"),
        ),
        *((99.94, "99.9 ms", "+99.9 ms"), (99.96, "100 ms", "+100 ms"), (-12.34, "-12.3 ms", "-12.3 ms")),
        *((3903.7, "3,904 ms", "+3,904 ms"), (-0.01, "over -0.1 ms", "0.0 ms"), (float("nan"), "unknown", "unknown")),
    ],
)
def test_times_of_a_column_have_a_digit_behind_the_point_or_none(ms: float, text: str, signed: str) -> None:
    """So that their points stand below each other."""
    assert (cell_ms(ms), signed_cell_ms(ms)) == (text, signed)


def test_a_change_of_time_has_its_unit_once() -> None:
    """Both sides read alike."""
    assert ms_change(5, 1234.5) == "5 -> 1,234 ms"


@given(st.floats())
def test_no_figure_is_written_as_nan_or_inf(value: float) -> None:
    """Whatever it comes from."""
    said = " ".join(form(value) for form in (percent, format_ms, signed_ms, cell_ms, signed_cell_ms, format_number))
    assert not {"nan", "inf", "-0"} & set(said.replace("+", "").split())
