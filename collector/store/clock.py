"""The times that a store can hold."""

from __future__ import annotations

_LAST_NS = 2**63 - 2  # DuckDB keeps the one after for infinity, and the first ones for its negative


def storable(unix_nano: int) -> int:
    """Return this time or, if it is before or after all that 64 bits hold, the first or the last of these.

    Windows are longer than what they are asked for: by the rest of a minute, and by how far a trace may reach.
    """
    return max(-_LAST_NS, min(unix_nano, _LAST_NS))
