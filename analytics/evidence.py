"""The evidence of a finding in words."""

from __future__ import annotations

import math
from typing import Any

_UNITS = ("ms", "s", "bytes")
_SHARES = ("share", "rate", "probability")
_LEAST, _NEARLY_ALL, _MOST = 0.01, 99, 99.9  # percent


def evidence_sentence(evidence: dict[str, Any]) -> str:
    """Return numbers with their names, "depth 7, limit 6, share 12 %"; nothing of an empty object or of nulls."""
    return ", ".join(_say(name, value) for name, value in evidence.items() if value is not None)


def _say(name: str, value: Any) -> str:
    words = name.split("_")
    *first, last = words
    if isinstance(value, bool):
        return f"{' '.join(words)}: {'yes' if value else 'no'}"
    if not isinstance(value, int | float):
        return f"{' '.join(words)} {value}"
    if last in _SHARES and 0 <= value <= 1:
        return f"{' '.join(words)} {format_share(value)}"
    if first and last in _UNITS:
        return f"{' '.join(first)} {format_number(value)} {last}"
    return f"{' '.join(words)} {format_number(value)}"


def format_number(value: float, digits: int = 3) -> str:
    """Return a number with so many digits, or all of a whole or a large one; what is not finite as "unknown"."""
    if not math.isfinite(value):
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 10**digits or value == int(value) else f"{value:.{digits}g}"


def format_share(value: float, digits: int = 2) -> str:
    """Return a share as a percentage; 0 % and 100 % are none and all, never rounded."""
    percent = value * 100
    if 0 < percent < _LEAST or _MOST < percent < 100:  # noqa: PLR2004  (percent)
        return f"under {_LEAST} %" if percent < _LEAST else f"over {_MOST} %"
    return f"{format_number(percent, digits + (percent > _NEARLY_ALL))} %"
