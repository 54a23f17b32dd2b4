"""The sample shop, as rules see it, and what is true of it."""

from __future__ import annotations

import tempfile
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from analytics.analysis import analyse
from analytics.findings import Subject
from analytics.resources import resource_minutes
from analytics.saturation import resource_use, service_saturation
from analytics.sides import ALL_TIME
from analytics.source import read_metrics, read_traces
from collector.cli.importing import run_import
from collector.store import open_store

SAMPLES = Path(__file__).parents[2] / "sample_traces"
STATES = ("monolith", "decoupled", "incident")


@cache
def shop(state: str) -> Subject:
    """The recording of the shop in one of its states."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shop.duckdb"
        run_import([SAMPLES / f"shop-{state}.otlp.zst"], url=None, db=path, to_now=False)
        store = open_store(path, read_only=True)
        traces, use = read_traces(store, ALL_TIME), resource_use(resource_minutes(read_metrics(store, ALL_TIME, {})))
        store.close()
    return Subject(analyse(traces), use, service_saturation(use))


@cache
def truth(state: str) -> dict[str, Any]:
    """What its configuration says."""
    return tomllib.loads((SAMPLES / f"shop-{state}.truth.toml").read_text())
