"""Each hour judged: its coupling index and what the rules find, kept for views, history and reports of long windows."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl
import structlog

from analytics.analysis import analyse
from analytics.environments import UNNAMED, find_environments, of_environment
from analytics.judgement import judge
from analytics.schema import conform
from analytics.source import count_spans, traces_of
from analytics.windows import MINUTE_NS, read_resources
from collector.errors import StoreError
from collector.store.protocol import TraceWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import pyarrow as pa

    from analytics.options import Options
    from analytics.schema import Columns
    from collector.store.protocol import Store

HOUR_NS = 60 * MINUTE_NS
MOST_SPANS = 400_000
"""Spans of an hour that are judged, some 400 MB; of more, a share of the traces stands for all."""
_LONGEST_S = 10.0
_EVERY_S = 300.0  # an hour that is not over yet is judged anew with what came since

HOUR_INDEX: Columns = {
    "hour": pl.Int64,
    "environment": pl.String,
    "traces": pl.Int64,
    "share": pl.Float64,
    "score": pl.Float64,
    "grade": pl.String,
    "missing": pl.String,
    "components": pl.List(
        pl.Struct(
            {
                "name": pl.String,
                "value": pl.Float64,
                "weight": pl.Float64,
                "contribution": pl.Float64,
                "explanation": pl.String,
            }
        )
    ),
    "lowers": pl.List(pl.Struct({"edge": pl.String, "if_async": pl.Float64, "if_removed": pl.Float64})),
}
"""One row an hour (since 1970) and environment ("" for none): the contract's ``coupling_index`` of a ``share`` of its
traces; ``traces`` is how many those are."""

HOUR_FINDINGS: Columns = {
    "hour": pl.Int64,
    **dict.fromkeys(("environment", "rule", "status", "severity"), pl.String),
    "score": pl.Float64,
    "title": pl.String,
    **dict.fromkeys(("services", "edges"), pl.List(pl.String)),
    "evidence": pl.String,
    "trace_ids": pl.List(pl.String),
    "advice": pl.String,
}
"""One row an hour, environment and finding: the contract's ``findings``, ``evidence`` as JSON."""

log = structlog.get_logger(__name__)


class HourKeeper:
    """Judges the hours whose minutes have been rolled up, each at most once in five minutes, the latest first."""

    def __init__(self, store: Store, options: Options, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._options = options
        self._clock = clock
        self._judged: dict[int, float] = {}

    def step(self, is_stopping: Callable[[], bool] = lambda: False) -> int:
        """Judge what is due, for some seconds at most, so that minutes do not wait; return how many hours."""
        now = self._clock()
        self._judged = {hour: at for hour, at in self._judged.items() if now - at < _EVERY_S}
        due = [hour for hour in self._store.pending_hours() if hour not in self._judged]
        done = 0
        for hour in due:
            if is_stopping() or self._clock() - now >= _LONGEST_S:
                break
            self._judged[hour] = now
            done += self._try_judge(hour)
        return done

    def _try_judge(self, hour: int) -> int:
        try:
            judged = judge_hour(self._store, hour, self._options)
        except StoreError:
            raise
        except Exception:  # a defect of a rule must not end the thread that keeps the rollups
            log.exception("hour not judged, will be tried again", hour=hour)
            return 0
        keep_hour(self._store, hour, judged)
        return 1


@dataclass(frozen=True, slots=True)
class Hour:
    """What an hour is judged by: a ``share`` of its traces as the store gives them, and ``rollup_resources``."""

    number: int
    rows: pa.Table
    use: pl.DataFrame
    share: float


def judge_hour(store: Store, hour: int, options: Options) -> dict[str, pl.DataFrame]:
    """Return HOUR_INDEX and HOUR_FINDINGS of an hour; empty when it has no traces."""
    return judge_read(read_hour(store, hour, options), store.resources(), options)


def read_hour(store: Store, number: int, options: Options) -> Hour:
    """Read what an hour is judged by."""
    window = TraceWindow(number * HOUR_NS, (number + 1) * HOUR_NS)
    parts = max(-(-count_spans(store, window) // MOST_SPANS), 1)
    rows = store.traces_within(replace(window, parts=parts))
    return Hour(number, rows, read_resources(store, window, options), 1 / parts)


def judge_read(hour: Hour, resources: pa.Table, options: Options) -> dict[str, pl.DataFrame]:
    """Return what ``judge_hour`` does, of an hour that was read; ``resources`` are those of the store."""
    traces = traces_of(hour.rows, resources)
    rows, findings = [], []
    for environment in find_environments(traces):
        chosen = of_environment(traces, environment)
        analysed = analyse(chosen, correct_clocks=options.correct_clocks, share=hour.share)
        use = hour.use.filter(pl.col("environment").fill_null(UNNAMED) == environment)
        judged = judge(analysed, use, options.rules)
        keys = {"hour": hour.number, "environment": environment}
        rows.append(keys | {"traces": analysed.forest.traces.height, "share": hour.share} | (judged.index or {}))
        findings += [keys | finding | {"evidence": json.dumps(finding["evidence"])} for finding in judged.findings]
    return {"hour_index": _frame(rows, HOUR_INDEX), "hour_findings": _frame(findings, HOUR_FINDINGS)}


def keep_hour(store: Store, hour: int, judged: Mapping[str, pl.DataFrame]) -> None:
    """Replace what is kept of an hour; what was said of traces that retention has deleted since stays."""
    tables = {name: frame.to_arrow() for name, frame in judged.items()}
    store.finish_hour(hour, tables if len(judged["hour_index"]) else None)


def _frame(rows: Iterable[Mapping[str, Any]], columns: Columns) -> pl.DataFrame:
    return conform(pl.DataFrame([{name: row[name] for name in columns} for row in rows], schema=columns), columns)
