"""Each hour judged: its coupling index and what the rules find, kept for views, history and reports of long windows."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import structlog

from analytics.analysis import analyse
from analytics.environments import UNNAMED, find_environments, of_environment
from analytics.judgement import judge
from analytics.schema import conform
from analytics.source import count_spans, read_traces
from analytics.windows import MINUTE_NS, read_resources
from collector.errors import StoreError
from collector.store.protocol import TraceWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
        tables = {name: frame.to_arrow() for name, frame in judged.items()}
        # Traces that retention has deleted since cannot be judged anew: what they said stays.
        self._store.finish_hour(hour, tables if len(judged["hour_index"]) else None)
        return 1


def judge_hour(store: Store, hour: int, options: Options) -> dict[str, pl.DataFrame]:
    """Return HOUR_INDEX and HOUR_FINDINGS of an hour; empty when it has no traces."""
    window = TraceWindow(hour * HOUR_NS, (hour + 1) * HOUR_NS)
    parts = max(-(-count_spans(store, window) // MOST_SPANS), 1)
    traces = read_traces(store, replace(window, parts=parts))
    resources = read_resources(store, window, options)
    rows, findings = [], []
    for environment in find_environments(traces):
        chosen = of_environment(traces, environment)
        analysed = analyse(chosen, correct_clocks=options.correct_clocks, share=1 / parts)
        use = resources.filter(pl.col("environment").fill_null(UNNAMED) == environment)
        judged = judge(analysed, use, options.rules)
        keys = {"hour": hour, "environment": environment}
        rows.append(keys | {"traces": analysed.forest.traces.height, "share": 1 / parts} | (judged.index or {}))
        findings += [keys | finding | {"evidence": json.dumps(finding["evidence"])} for finding in judged.findings]
    return {"hour_index": _frame(rows, HOUR_INDEX), "hour_findings": _frame(findings, HOUR_FINDINGS)}


def _frame(rows: Iterable[Mapping[str, Any]], columns: Columns) -> pl.DataFrame:
    return conform(pl.DataFrame([{name: row[name] for name in columns} for row in rows], schema=columns), columns)
