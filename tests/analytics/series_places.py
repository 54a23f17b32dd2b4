"""Stores with a few minutes of traces of twelve services, rolled up or not, and the API over them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl

from analytics.analysis import Analysed, analyse
from analytics.rollups import merge_rollups, roll_up
from analytics.schema import LINKS, empty
from analytics.service import TraceAnalysis
from analytics.source import Traces
from collector.client import connect
from collector.ingest.pipeline import Pipeline
from collector.query.api import create_app
from collector.web import WebServer
from tests.analytics.dozen import resources, traces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from collector.client import Client
    from collector.store.protocol import Store


def dozen(count: int = 400) -> Analysed:
    """Traces of five minutes between twelve services, with errors, of which some stand for several."""
    spans = traces(count)
    sampled = pl.col("parent_span_id").is_null() & (pl.col("trace_low") % 3 == 0)
    states = spans.with_columns(trace_state=pl.when(sampled).then(pl.lit("ot=th:8")))
    return analyse(Traces(states, resources(), empty(LINKS)))


def apart(rollups: Mapping[str, pl.DataFrame], minutes: int, times: int = 1) -> dict[str, pl.DataFrame]:
    """The same traces ``times`` times, their minutes so far apart."""
    first = int(rollups["rollup_windows"]["minute"].to_numpy().min())
    spread = (pl.col("minute") - first) * minutes + first // 60 * 60
    rounds = [
        {name: frame.with_columns(minute=spread + number * minutes * 5) for name, frame in rollups.items()}
        for number in range(times)
    ]
    return merge_rollups(rounds)


def keep(store: Store, rollups: Mapping[str, pl.DataFrame]) -> None:
    """Write rollups as the collector does."""
    minutes = rollups["rollup_windows"]["minute"].unique().sort().to_list()
    store.finish_minutes(minutes, {name: frame.to_arrow() for name, frame in rollups.items()})


def rolled(analysed: Analysed) -> dict[str, pl.DataFrame]:
    """Rollups of traces."""
    return roll_up(analysed)


@contextmanager
def served(store: Store, path: Path) -> Iterator[Client]:
    """A client of the query API over a store."""
    pipeline = Pipeline(store, path / "log")
    server = WebServer(create_app(store, pipeline, analysis=TraceAnalysis()), "127.0.0.1", 0, option="--query")
    server.start()
    try:
        yield connect(f"http://127.0.0.1:{server.port}")
    finally:
        server.stop()
        pipeline.close()
