"""async-candidate: a caller waits at the end of its work for a call that a message could replace."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.arrays import NONE, starts_of_runs
from analytics.codes import number_keys, sum_by
from analytics.findings import MOST_TRACES, Finding, Rule, unknown_finding
from analytics.marks import failed_spans
from analytics.retries import seen_failures
from analytics.rules import requisites
from analytics.waits import waited_ns

if TYPE_CHECKING:
    from analytics.arrays import Flags, Rows, Times
    from analytics.findings import Evidence, Subject

NAME = "async-candidate"
_MS = 1e6
_REFUSED = 400
"""A server that refuses a request with a status from here on leaves its own span's status unset when below 500."""
_GROUP = ("caller", "callee", "operation")
_METHOD = re.compile(r"^[A-Z]+ ")
_PARAMETER = re.compile(r"<[^>]*>|\{[^}]*\}|:\w+")
_HUMP, _SIGNS = re.compile(r"([a-z0-9])([A-Z])"), re.compile(r"[^a-z0-9]+")
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Limits:
    """``calls``: of fewer requests with such a call nothing is told. All limits are our own choice.

    ``end_share``: as many of them have the call as their last one. ``tail_share``: what the request still does after
    it is at most this part of its time. ``write_share``: as many calls write something in the callee, after the caller
    has written itself. ``failures``: so many must have been seen before it is told that they do not fail the caller,
    of which they fail at most ``failed_share``. ``saved_share``: what a message would save is at least this part of the
    traces' time.
    """

    calls: int = 20
    end_share: float = 0.9
    tail_share: float = 0.1
    write_share: float = 0.9
    failures: int = 5
    failed_share: float = 0.1
    saved_share: float = 0.05


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each caller, callee and operation that could be a message, what saves most first."""
    calls = _calls(subject)
    groups = _groups(calls, limits)
    ended = groups.filter(pl.col("at_end") >= limits.end_share)
    told = ended.filter(pl.col("requests") >= limits.calls)
    tolerated = (pl.col("failures") >= limits.failures) & (pl.col("failed") <= limits.failed_share * pl.col("failures"))
    written = (pl.col("writes") >= limits.write_share) & (pl.col("failed") <= limits.failed_share * pl.col("failures"))
    chosen = told.filter(tolerated | written).with_columns(tolerated=tolerated, written=written)
    chosen = chosen.join(_shares(subject, calls), on="group").filter(pl.col("share") >= limits.saved_share)
    longest, broker = _longest(calls.join(chosen, on="group", how="semi")), _broker(subject)
    found = [_finding(subject, limits, row, longest[row["group"]], broker) for row in chosen.iter_rows(named=True)]
    if not found and told.is_empty() and ended.height:
        missing = f"no operation that ends a request was called in {limits.calls} requests"
        most = max(ended["requests"].to_list())
        return [unknown_finding(NAME, missing, most_requests=most, calls_limit=limits.calls)]
    return sorted(found, key=lambda finding: (-finding.score, finding.title))


def _calls(subject: Subject) -> pl.DataFrame:
    """Return the sync calls of one service to another or to an external system, by request and time."""
    forest, graph = subject.analysed.forest, subject.analysed.graph
    calls = graph.calls.with_row_index("call").with_columns(seen=pl.Series(seen_failures(graph)))
    others = graph.nodes.filter(pl.col("type").is_in(["service", "external"]))["node"]
    calls = calls.filter(
        (pl.col("mode") == "sync") & pl.col("span").is_not_null() & pl.col("callee").is_in(others.implode())
    )  # fmt: skip
    calls = calls.filter(pl.col("callee") != pl.col("caller"))
    span, answer = (calls[side].fill_null(NONE).to_numpy() for side in ("span", "answer"))
    timed = np.where(calls["client_ns"].is_not_null().to_numpy(), span, answer)
    entry = subject.entry[span]
    last, wrote = _last_begins(subject), _first_writes(subject)
    operation = forest.column("span_name", np.where(answer != NONE, answer, span)).cast(pl.Categorical)
    frame = pl.DataFrame(
        {
            "caller": calls["caller"],
            "callee": calls["callee"],
            "operation": operation,
            "entry": entry,
            "timed": timed,
            "trace": forest.trace[timed],
            "begin": forest.start[timed],
            "failed": calls["seen"],
            "last": last[entry] < np.maximum(forest.end[timed], forest.start[timed] + 1),
            "left": (forest.end[entry] - forest.end[timed]) / np.maximum(forest.duration[entry], 1),
            "wrote": (wrote[answer] < _NEVER) & (answer != NONE) & (wrote[entry] <= forest.start[timed]),
            "request_failed": _failed(subject)[entry],
            "waited": waited_ns(subject.analysed, timed),
        }
    )
    group = _group_codes(graph.nodes.height, calls, operation)
    return frame.with_columns(group=pl.Series(group)).sort("group", "entry", "begin", "timed")


def _group_codes(nodes: int, calls: pl.DataFrame, operation: pl.Series) -> Rows:
    """Return a dense number for each caller, callee and operation."""
    names = operation.to_physical().cast(pl.Int64).fill_null(NONE).to_numpy() + 1
    caller, callee = (calls[side].to_numpy().astype(np.int64) for side in ("caller", "callee"))
    count = int(names.max(initial=0)) + 1
    return number_keys((caller * nodes + callee) * count + names, nodes * nodes * count)[0]


def _last_begins(subject: Subject) -> Times:
    """Return for each entry when the last of its calls begins; statements that end a transaction are none."""
    forest, statements, calls = subject.analysed.forest, subject.statements, subject.analysed.graph.calls
    span = calls["span"].drop_nulls().to_numpy()
    texts = statements.texts
    ends = np.zeros(len(forest), np.bool_)
    ends[statements.rows[statements.mark(~texts["writes"] & ~texts["reads"])]] = True
    span = span[~ends[span]]
    begins = np.zeros(len(forest), np.int64)
    np.maximum.at(begins, subject.entry[span], forest.start[span])
    return begins


def _first_writes(subject: Subject) -> Times:
    """Return for each entry when it first writes to a database, the end of time when it never does."""
    forest, statements = subject.analysed.forest, subject.statements
    rows = statements.rows[statements.mark(statements.texts["writes"])]
    first = np.full(len(forest), _NEVER, np.int64)
    np.minimum.at(first, subject.entry[rows], forest.start[rows])
    return first


def _failed(subject: Subject) -> Flags:
    forest = subject.analysed.forest
    refused: Flags = forest.source["http_status_code"].fill_null(0).to_numpy()[forest.source_row] >= _REFUSED
    return failed_spans(forest) | refused


def _groups(calls: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """Return counts by caller, callee and operation, of each request's last such call: earlier ones are its attempts.

    ``at_end`` and ``writes`` are shares of the calls that did not fail; ``waited`` is a mean of requests.
    """
    keys = [calls[name].to_numpy()[::-1] for name in ("group", "entry")]
    last = calls.filter(pl.Series(starts_of_runs(*keys)[::-1].copy())) if len(calls) else calls
    well = ~pl.col("failed")
    at_end = (pl.col("last") & (pl.col("left") <= limits.tail_share)).filter(well).mean()
    counted = last.group_by("group").agg(
        pl.col(*_GROUP).first(),
        requests=pl.len(),
        at_end=at_end.fill_null(0.0),
        writes=pl.col("wrote").filter(well).mean().fill_null(0.0),
        failures=pl.col("failed").sum(),
        failed=(pl.col("failed") & pl.col("request_failed")).sum(),
    )
    waited = calls.group_by("group").agg(waited=pl.col("waited").sum())
    return counted.join(waited, on="group").with_columns(pl.col("waited") / pl.col("requests")).sort("group")


def _shares(subject: Subject, calls: pl.DataFrame) -> pl.DataFrame:
    """Return by group what part of their traces' whole time its calls made them wait, as ``share_of_traces`` does."""
    analysed = subject.analysed
    root = analysed.forest.trace_root
    whole = np.where(root != NONE, analysed.forest.duration[root], 0) * analysed.weights
    group, trace = calls["group"].to_numpy(), calls["trace"].to_numpy()
    first = np.flatnonzero(starts_of_runs(group, trace))  # entries ascend, and with them their traces
    count = int(group.max(initial=NONE)) + 1
    waited = sum_by(group, calls["waited"].to_numpy() * analysed.weights[trace], count)
    wholes = sum_by(group[first], whole[trace[first]], count)
    share = np.divide(waited, wholes, out=np.zeros(count), where=wholes > 0)
    return pl.DataFrame({"group": np.arange(count, dtype=np.int32), "share": np.clip(share, 0, 1)})


def _finding(subject: Subject, limits: Limits, row: dict[str, Any], traces: list[int], broker: str) -> Finding:
    nodes = subject.analysed.graph.nodes
    caller, callee = (str(nodes["name"][row[side]]) for side in ("caller", "callee"))
    service = nodes["type"][row["callee"]] == "service"
    return Finding(
        rule=NAME,
        severity="warning" if row["written"] else "info",
        score=row["share"],
        title=f"{caller} waits for {callee} ({row['operation']}) when its own work is done",
        services=(caller, callee) if service else (caller,),
        edges=(f"{caller}->{callee}",),
        evidence=_evidence(limits, row),
        trace_ids=subject.trace_ids(traces),
        advice=_advice(caller, callee, row, broker),
    )


def _longest(calls: pl.DataFrame) -> dict[int, list[int]]:
    """Return by group the traces that waited longest for one of its calls."""
    ordered = calls.sort("group", "waited", "trace", descending=[False, True, False])
    each = ordered.unique(["group", "trace"], keep="first", maintain_order=True)
    grouped = each.group_by("group", maintain_order=True).agg(pl.col("trace").head(MOST_TRACES))
    return dict(grouped.iter_rows())


def _evidence(limits: Limits, row: dict[str, Any]) -> Evidence:
    return {
        "requests": row["requests"],
        "calls_limit": limits.calls,
        "at_end_share": row["at_end"],
        "end_share_limit": limits.end_share,
        "tail_share_limit": limits.tail_share,
        "write_share": row["writes"],
        "write_share_limit": limits.write_share,
        "failures": row["failures"],
        "failures_limit": limits.failures,
        "failed_requests": row["failed"],
        "failed_share_limit": limits.failed_share,
        "saved_ms": row["waited"] / _MS,
        "saved_share": row["share"],
        "saved_share_limit": limits.saved_share,
    }


def _advice(caller: str, callee: str, row: dict[str, Any], broker: str) -> str:
    saved = f"{row['waited'] / _MS:.0f} ms a request"
    queue = f"{callee}.{_slug(row['operation'])}"
    if row["written"]:
        return (
            f"Let {caller} write a message for the queue {queue} to an outbox table, in the transaction of its own"
            f" work, and answer; {callee} takes it from there{broker}. That saves {saved}. If the answer of"
            f" {callee} is passed on, return an id to ask with instead."
        )
    return (
        f"{caller} answers without {callee} when that fails: let users fetch {row['operation']} on their own, keep a"
        f" copy in {caller} that events of {callee} renew, or send what needs no answer to a queue"
        f" {queue}{broker}. That saves {saved}."
    )


def _slug(operation: str | None) -> str:
    """Return a name for the queue: the operation's words without the method and parameters."""
    path = _PARAMETER.sub("", _METHOD.sub("", operation or ""))
    words = _SIGNS.sub(" ", _HUMP.sub(r"\1 \2", path).lower()).split()
    return words[-1] if words else "work"


def _broker(subject: Subject) -> str:
    """Return which broker is there already, if one is."""
    systems = subject.analysed.forest.source["messaging_system"].drop_nulls().unique().cast(pl.String).sort()
    return f" ({systems[0]} is there already)" if len(systems) else ""


RULE = Rule(NAME, Limits, find, (requisites.requests, requisites.calls, requisites.times, requisites.databases))
