"""Random draws that depend on the place in the system alone, so that runs which differ elsewhere draw the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp, log
from statistics import NormalDist
from typing import TypeAlias

Key: TypeAlias = int
"""Names a place in one request: of 64 bits, the same in every run with this seed."""

_BITS = (1 << 64) - 1
_NORMAL = NormalDist()
_MS = 1e6


def key_of(key: Key, place: int) -> Key:
    """Return the key of a place within another (splitmix64)."""
    mixed = (key + (place + 1) * 0x9E3779B97F4A7C15) & _BITS
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _BITS
    return mixed ^ (mixed >> 31)


def uniform(key: Key) -> float:
    """Return the draw of this key from the open interval 0 to 1."""
    return ((key >> 12) + 0.5) / (1 << 52)


def exponential(key: Key) -> float:
    """Return the draw of this key with mean 1."""
    return -log(uniform(key))


@dataclass(frozen=True)
class Time:
    """A lognormal time of this mean; ``spread`` is the deviation of its logarithm (0: always the mean)."""

    mean_ms: float
    spread: float = 0.0

    @cached_property
    def _median_ns(self) -> float:
        return self.mean_ms * _MS * exp(-(self.spread**2) / 2)

    def draw_ns(self, key: Key) -> int:
        """Return the draw of this key, in nanoseconds."""
        if not self.spread:
            return round(self._median_ns)
        return round(self._median_ns * exp(self.spread * _NORMAL.inv_cdf(uniform(key))))
