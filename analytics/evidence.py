"""The evidence of a finding in words."""

from __future__ import annotations

import math
from typing import Any

_UNITS = ("ms", "s", "bytes")
_LIMIT = "limit"
_SHARES = ("share", "rate", "probability", "availability")
_LEAST, _NEARLY_ALL, _MOST = 0.01, 99, 99.9  # percent


def evidence_sentence(evidence: dict[str, Any], most: int | None = None) -> str:
    """Return numbers with their names and limits: "depth 7 (limit 6), share 12 %"; the first ``most`` of them.

    ``depth_limit`` and ``wait_limit_s`` are the limits of ``depth`` and ``wait_s``. Nulls and what is false are left
    out; an empty object gives an empty text.
    """
    limits = {_without_limit(name): name for name in evidence if _LIMIT in name.split("_")[1:]}
    own = [
        name for name in evidence if limits.get(_without_limit(name)) != name or _without_limit(name) not in evidence
    ]
    said = [
        _say(name, evidence[name]) + (f" (limit {_value(name, evidence[limits[name]])})" if name in limits else "")
        for name in own
        if evidence[name] is not None and evidence[name] is not False
    ]
    return ", ".join(said[:most])


def _without_limit(name: str) -> str:
    return "_".join(word for word in name.split("_") if word != _LIMIT)


def _say(name: str, value: Any) -> str:
    *first, last = name.split("_")
    words = " ".join(first if first and last in _UNITS else [*first, last])
    return words if value is True else f"{words} {_value(name, value)}"


def _value(name: str, value: Any) -> str:
    """A value with the unit that its name tells."""
    if not isinstance(value, int | float):
        return str(value)
    *first, last = _without_limit(name).split("_")
    if last in _SHARES and 0 <= value <= 1:
        return format_share(value)
    return f"{format_number(value)} {last}" if first and last in _UNITS else format_number(value)


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
