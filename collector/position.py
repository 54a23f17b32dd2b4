"""Places in the durable log."""

from __future__ import annotations

from typing import NamedTuple


class LogPosition(NamedTuple):
    """A place in the durable log: everything before it has been applied. Ordered; the start is (0, 0)."""

    segment: int
    offset: int
