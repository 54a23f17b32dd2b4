"""The numbers that advice suggests: thresholds from what is usual."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from analytics.words import percent

if TYPE_CHECKING:
    from collections.abc import Mapping

_CALLS, _SIGMAS = 100, 4
_STEP, _LEAST, _MOST = 0.05, 0.1, 0.5


def rounded_up(value: float, digits: int = 2) -> float:
    """Return the next number above with so many digits; what is not above 0 as it is."""
    if value <= 0:
        return value
    step = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    return round(math.ceil(value / step - 1e-9) * step, 9)


def breaker_rate(usual: float) -> float:
    """Return the failure rate at which a breaker should open: 10 to 50 %, in steps of 5 %.

    It is four standard deviations of 100 calls above the usual rate, so that a healthy edge opens it about once in
    30,000 times. 50 % is Resilience4j's default.
    """
    far = usual + _SIGMAS * math.sqrt(max(usual * (1 - usual), 0) / _CALLS)
    return min(max(math.ceil(far / _STEP - 1e-9) * _STEP, _LEAST), _MOST)


def breaker(usual: Mapping[str, Any], *, calls: int = _CALLS, slow_share: float = 0.5, slow_times: float = 2.0) -> str:
    """Return when a breaker should open, given a row of EDGE_BASELINES or nothing.

    "when 20 % of the last 100 calls fail or 50 % take over 330 ms (usual are 6.3 % failures and a p99 of 163 ms)"
    """
    failing, slow = usual.get("error_rate") or 0.0, usual.get("p99_ms")
    opens = f"when {percent(breaker_rate(failing))} of the last {calls} calls fail"
    if slow is None:
        return opens
    return (
        f"{opens} or {percent(slow_share)} take over {format_ms(rounded_up(slow * slow_times))}"
        f" (usual are {percent(failing)} failures and a p99 of {format_ms(slow)})"
    )


def format_ms(ms: float) -> str:
    """Return "8.1 ms", "240 ms", "2.6 s"."""
    if ms >= 1000:  # noqa: PLR2004  (a second)
        return f"{ms / 1000:.3g} s"
    return f"{ms:.2g} ms" if round(ms) < 100 else f"{ms:.0f} ms"  # noqa: PLR2004  (two digits)
