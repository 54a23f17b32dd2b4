"""Figures as people read them."""

from __future__ import annotations

UNKNOWN = "\u2013"
TIMES = "\u00d7"
_MS_PER_S = 1000
_ROUNDING = 0.5  # 999.6 ms would be told as 1,000 ms
_WHOLE = 99.5  # three digits without a point


def ms(value: float | None) -> str:
    """Return milliseconds with three significant digits, from a second on as seconds."""
    if value is None or value != value:  # noqa: PLR0124  (what tables make of None)
        return UNKNOWN
    figure, unit = (value, "ms") if abs(value) < _MS_PER_S - _ROUNDING else (value / _MS_PER_S, "s")
    return f"{figure:,.0f} {unit}" if abs(figure) >= _WHOLE else f"{figure:.3g} {unit}"


def percent(share: float | None) -> str:
    """Return a share of 0 to 1 as a percentage."""
    if share is None:
        return UNKNOWN
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"  # noqa: PLR2004


def count(number: float | None) -> str:
    """Return a whole number with its thousands apart."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def span_of_time(seconds: float) -> str:
    """Return a time in its largest whole unit."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
