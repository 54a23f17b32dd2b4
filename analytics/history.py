"""How coupled the system was, hour by hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.environments import choose_environment
from analytics.hours import HOUR_INDEX, HOUR_NS
from analytics.schema import conform
from analytics.sides import parse_window
from analytics.windows import MINUTE_NS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collector.store.protocol import Store

_OPTIONS = ("since", "from", "to", "env")
_ROW = ("score", "grade", "missing", "traces", "share")
_PART = ("name", "value", "contribution")


def read_history(store: Store, given: Mapping[str, str]) -> dict[str, Any]:
    """Return the answer of ``GET /v1/coupling/history``: a row an hour that has been judged, by time.

    Hours count that the window touches; of an environment none of whose hours are known yet there are none. Raises
    ``ConfigurationError`` for wrong options.
    """
    window = parse_window(given, _OPTIONS, "the history")
    minutes = store.rolled_minutes(window.begin // MINUTE_NS, -(-window.end // MINUTE_NS))
    environments = pl.DataFrame(pl.from_arrow(minutes.environments))["environment"].to_list()
    environment = given["env"] if "env" in given else choose_environment(environments, None)
    kept = store.judged_hours(window.begin // HOUR_NS, -(-window.end // HOUR_NS), environment)
    hours = conform(pl.DataFrame(pl.from_arrow(kept["hour_index"])), HOUR_INDEX).sort("hour")
    rows = [
        {"start_unix_nano": row["hour"] * HOUR_NS}
        | {name: row[name] for name in _ROW}
        | {"components": [{name: part[name] for name in _PART} for part in row["components"] or []]}
        for row in hours.iter_rows(named=True)
    ]
    return {"environment": environment, "environments": environments, "bucket_seconds": 3600, "rows": rows}
