"""What a store keeps of its analysis, for comparisons to the bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from collector.store.hours import HOURS
from collector.store.minutes import HOURLY, ROLLUPS

if TYPE_CHECKING:
    from pathlib import Path


def kept(db: Path) -> dict[str, list[str]]:
    """The rows of each table, written out with all digits and in one order."""
    with duckdb.connect(str(db), read_only=True) as connection:
        return {
            name: sorted(map(repr, connection.sql(f"SELECT * FROM store.{name}").fetchall()))
            for name in (*ROLLUPS, *HOURLY.values(), *HOURS)
        }
