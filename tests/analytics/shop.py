"""The sample shop, as rules see it, and what is true of it."""

from __future__ import annotations

import atexit
import tempfile
import tomllib
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analytics.analysis import analyse
from analytics.findings import Subject
from analytics.resources import resource_minutes
from analytics.saturation import resource_use, service_saturation
from analytics.sides import ALL_TIME
from analytics.source import read_metrics, read_traces
from collector.cli.importing import run_import
from collector.store import open_store

if TYPE_CHECKING:
    from collector.store.protocol import Store

SAMPLES = Path(__file__).parents[2] / "sample_traces"
STATES = ("monolith", "decoupled", "incident")


_OPEN = ExitStack()
atexit.register(_OPEN.close)


@cache
def shop_store(state: str) -> Store:
    """The recording in a store, to be read only, which stays open."""
    path = Path(_OPEN.enter_context(tempfile.TemporaryDirectory())) / "shop.duckdb"
    run_import([SAMPLES / f"shop-{state}.otlp.zst"], url=None, db=path, to_now=False)
    return _OPEN.enter_context(closing(open_store(path, read_only=True)))


@cache
def shop(state: str) -> Subject:
    """The recording of the shop in one of its states."""
    store = shop_store(state)
    minutes = resource_minutes(read_metrics(store, ALL_TIME, {}))
    use = resource_use(minutes)
    return Subject(analyse(read_traces(store, ALL_TIME)), use, service_saturation(use), minutes)


@cache
def truth(state: str) -> dict[str, Any]:
    """What its configuration says."""
    return tomllib.loads((SAMPLES / f"shop-{state}.truth.toml").read_text())
