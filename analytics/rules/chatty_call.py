"""chatty-call: one operation is called again and again, one call after the other, where one call would do (N+1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.arrays import NONE
from analytics.findings import Finding, Rule, unknown_finding
from analytics.retries import seen_failures
from analytics.rules import requisites
from analytics.waits import share_of_traces

if TYPE_CHECKING:
    from analytics.arrays import Array
    from analytics.findings import Severity, Subject

NAME = "chatty-call"
_MS = 1e6
_LOOP = ["parent", "callee", "operation"]


@dataclass(frozen=True, slots=True)
class Limits:
    """``calls`` and ``total_ms``: a loop has more calls than this, and takes longer than this in all.

    Both are methods §5's. ``critical_share``: loops that take this share of their traces' time are critical (our own
    choice: half). ``loops``: seen fewer times, a loop is information, since one slow run says little (our own choice).
    ``traces``: with fewer and no loop among them the rule cannot tell (our own choice).
    """

    calls: int = 5
    total_ms: float = 50.0
    critical_share: float = 0.5
    loops: int = 3
    traces: int = 20


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each caller, callee and operation with a loop, the largest share of their traces first."""
    calls = _calls(subject, limits)
    long = (pl.col("rounds") > limits.calls) & (pl.col("busy_ns") > limits.total_ms * _MS)
    loops = _loops(calls).filter(long)
    if loops.is_empty():
        return _nothing(subject, limits)
    groups = calls.join(loops, on="loop", maintain_order="left").partition_by("caller", "callee", "operation")
    found = [_finding(subject, limits, group) for group in groups]
    return sorted(found, key=lambda finding: (-finding.score, finding.title))


def _nothing(subject: Subject, limits: Limits) -> list[Finding]:
    analysed = subject.analysed
    traces = analysed.forest.traces.height
    sync = analysed.graph.calls.filter(pl.col("span").is_not_null() & (pl.col("mode") == "sync"))
    if traces >= limits.traces or sync.is_empty():
        return []
    missing = f"{traces} traces are too few to tell that no call is repeated, {limits.traces} are needed"
    return [unknown_finding(NAME, missing, traces=traces, traces_limit=limits.traces)]


def _calls(subject: Subject, limits: Limits) -> pl.DataFrame:
    """Return the sync calls that may be in a loop, with times, operation and a number for each such loop.

    Where the caller has no span of its own for a call, the parent is the span that makes it.
    """
    forest, graph = subject.analysed.forest, subject.analysed.graph
    span, answer = (graph.calls[side].fill_null(NONE).to_numpy() for side in ("span", "answer"))
    own = graph.calls["client_ns"].is_not_null().to_numpy()
    above = np.where(own, forest.parent[span], span) if len(forest) else span
    made = (span != NONE) & (above != NONE) & (graph.calls["mode"] == "sync").to_numpy()
    many = np.bincount(above[made], minlength=len(forest)) > limits.calls
    rows = np.flatnonzero(made & many[above]) if len(forest) else np.empty(0, np.intp)
    timed = np.where(own, span, answer)[rows]
    frame = pl.DataFrame(
        {
            "parent": above[rows],
            "trace": forest.trace[span[rows]],
            "caller": graph.calls["caller"].gather(rows),
            "callee": graph.calls["callee"].gather(rows),
            "operation": _operations(subject, span[rows], answer[rows]),
            "timed": timed,
            "begin": forest.start[timed],
            "end": forest.end[timed],
            "failed": seen_failures(graph)[rows],
        }
    )
    # Of the loops that are too few or too short even when no call overlaps another, nothing more needs to be known.
    length = pl.col("end") - pl.col("begin")
    loops = frame.group_by(_LOOP).agg(calls=pl.len(), total_ns=length.sum()).filter(
        (pl.col("calls") > limits.calls) & (pl.col("total_ns") > limits.total_ms * _MS)
    )  # fmt: skip
    numbered = loops.select(_LOOP).sort(_LOOP).with_row_index("loop")
    return frame.join(numbered, on=_LOOP).sort("loop", "begin", "end", "timed")


def _operations(subject: Subject, span: Array, answer: Array) -> pl.Series:
    """Return what is asked for: the answer's name, else the statement without its literals, else the call's name."""
    forest, statements = subject.analysed.forest, subject.statements
    named = forest.column("span_name", np.where(answer != NONE, answer, span)).cast(pl.String).fill_null("")
    place = np.searchsorted(statements.rows, span)
    found = np.append(statements.rows, NONE)[place] == span
    code = np.append(statements.code, 0)[place]
    asked = statements.texts["shape"].gather(np.where(found, code, 0)) if found.any() else named
    said = pl.Series(found & (answer == NONE))
    return pl.select(pl.when(said).then(asked).otherwise(named)).to_series()


def _loops(calls: pl.DataFrame) -> pl.DataFrame:
    """Return for each loop how many rounds follow each other, and how long they take.

    Calls that overlap are one round, and so is a call that repeats a failed one. Columns ``loop``, ``rounds`` and
    ``busy_ns``.
    """
    reached = pl.col("end").cum_max().shift(1).over("loop")
    after = pl.col("begin") >= reached
    retry = after & pl.col("failed").shift(1).over("loop")
    stepped = calls.with_columns(
        round=(reached.is_null() | (after & ~retry)).fill_null(value=True),
        busy=(pl.col("end") - pl.max_horizontal("begin", reached)).clip(0),
    )
    return stepped.group_by("loop", maintain_order=True).agg(
        pl.col("round").sum().alias("rounds"), pl.col("busy").sum().alias("busy_ns")
    )


def _finding(subject: Subject, limits: Limits, calls: pl.DataFrame) -> Finding:
    """Say what these calls of one caller, callee and operation, all in loops, cost."""
    loops = calls.group_by("loop").agg(pl.col("rounds", "busy_ns", "trace").first()).sort(
        "busy_ns", "loop", descending=[True, False]
    )  # fmt: skip
    share = share_of_traces(subject.analysed, calls["timed"].to_numpy())
    names, first = subject.analysed.graph.nodes, calls.row(0, named=True)
    caller, callee = (str(names["name"][first[side]]) for side in ("caller", "callee"))
    evidence = _evidence(loops, limits, share)
    title = f"{caller} calls {callee} {evidence['calls_mean']:.0f} times in a row for {first['operation']}"
    return Finding(
        rule=NAME,
        severity=_severity(loops.height, share, limits),
        score=share,
        title=title,
        services=(caller, callee) if names["type"][first["callee"]] == "service" else (caller,),
        edges=(f"{caller}->{callee}",),
        evidence=evidence,
        trace_ids=subject.trace_ids(loops["trace"]),
        advice=_advice(caller, callee, str(names["type"][first["callee"]]), first["operation"], evidence),
    )


def _severity(loops: int, share: float, limits: Limits) -> Severity:
    if loops < limits.loops:
        return "info"
    return "critical" if share >= limits.critical_share else "warning"


def _evidence(loops: pl.DataFrame, limits: Limits, share: float) -> dict[str, Any]:
    rounds, busy_ms = loops["rounds"], loops["busy_ns"] / _MS
    return {
        "loops": loops.height,
        "loops_limit": limits.loops,
        "traces": loops["trace"].n_unique(),
        "calls_mean": float(rounds.mean() or 0),  # type: ignore[arg-type]
        "calls_most": int(rounds.max() or 0),  # type: ignore[arg-type]
        "calls_limit": limits.calls,
        "loop_ms": float(busy_ms.mean() or 0),  # type: ignore[arg-type]
        "total_ms_limit": limits.total_ms,
        "saved_ms": float((busy_ms * (1 - 1 / rounds)).mean() or 0),  # type: ignore[arg-type]
        "critical_path_share": share,
        "critical_share_limit": limits.critical_share,
    }


def _advice(caller: str, callee: str, kind: str, operation: str, evidence: dict[str, Any]) -> str:
    saved = f"one call instead of {evidence['calls_mean']:.0f} would save about {evidence['saved_ms']:.0f} ms each time"
    if kind == "database":
        return f"Ask once: a join, an IN list or one batch in place of {operation!r}, run for each row; {saved}."
    if kind == "service":
        return (
            f"Give {callee} an operation that takes many keys at once in place of {operation}, and let {caller} call"
            f" it once; {saved}. Where {caller} needs the same data all the time, let {callee} publish its changes and"
            f" keep a copy in {caller}."
        )
    return f"Use a batch operation of {callee} if it has one, else call it in parallel from {caller}; {saved}."


RULE = Rule(NAME, Limits, find, (requisites.traces, requisites.any_calls, requisites.times))
