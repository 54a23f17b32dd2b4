"""Figures as people read them."""

from __future__ import annotations

UNKNOWN = "\u2013"
TIMES = "\u00d7"


def ms(value: float | None) -> str:
    """Return milliseconds with three significant digits."""
    if value is None:
        return UNKNOWN
    if abs(value) >= 10_000:  # noqa: PLR2004  (from here on seconds are easier to read)
        return f"{value / 1000:,.1f} s"
    return f"{value:,.0f} ms" if abs(value) >= 100 else f"{value:.3g} ms"  # noqa: PLR2004


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
