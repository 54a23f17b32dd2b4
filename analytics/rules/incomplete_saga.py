"""incomplete-saga: a step fails after another service has written, and nobody undoes what was written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE, climb
from analytics.findings import MOST_TRACES, Finding, Rule, unknown_finding
from analytics.marks import failed_spans, named_spans, words_of
from analytics.rules import requisites

if TYPE_CHECKING:
    from analytics.arrays import Flags, Rows
    from analytics.findings import Evidence, Subject

NAME = "incomplete-saga"
_REFUSED = 400
"""A server that refuses a request with a status from here on leaves its own span's status unset when below 500."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``compensations`` are words in the names of operations and queues that undo something (methods §6).

    ``failures`` left without undoing make it critical, if they are also a ``critical_share`` of all (our own choices).
    """

    compensations: tuple[str, ...] = (
        *("compensate", "compensation", "rollback", "undo", "cancel", "refund", "release", "revert"),
    )
    failures: int = 5
    critical_share: float = 0.5


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each operation whose failures leave writes of other services behind.

    Unknown where services write together and no such failure was seen. All are pattern matches.
    """
    steps = _writes(subject)
    if steps.is_empty():
        return []
    left = _exposed(_failures(subject), steps.filter("completed"))
    if left.is_empty():
        if _alone(steps):
            return []
        missing = "services write one after the other in a trace, and no failure after such a write was seen"
        return [unknown_finding(NAME, missing, writing_requests=steps.height)]
    undone = _compensated(subject, limits, left)
    operations = undone.with_columns(operation=subject.analysed.forest.column("span_name", undone["failed"].to_numpy()))
    groups = operations.partition_by("failed_service", "operation", maintain_order=True)
    found = [_finding(subject, limits, own) for own in groups if not own["undone"].all()]
    return sorted(found, key=lambda finding: -finding.score)


def _writes(subject: Subject) -> pl.DataFrame:
    """Return the requests that write: ``entry``, ``trace``, ``service``, ``written`` (when it last did), ``completed``.

    A request completed its writes when it committed, or when it neither failed, nor rolled back, nor left a transaction
    open that it had begun.
    """
    forest, statements = subject.analysed.forest, subject.statements
    verb = statements.texts["verb"]
    prepared = statements.texts["text"].str.contains(r"(?i)^\s*(?:commit|rollback)\s+prepared\b")
    says = {
        "wrote": statements.mark(statements.texts["writes"]),
        "began": statements.mark(verb.is_in(["begin", "start"])),
        "committed": statements.mark((verb == "commit") & ~prepared),
        "rolled_back": statements.mark(verb.is_in(["rollback", "abort"])),
    }
    rows, failed = statements.rows, failed_spans(forest)
    frame = pl.DataFrame({"entry": subject.entry[rows], "end": forest.end[rows], **says}).with_columns(
        wrote=pl.col("wrote") & ~pl.Series(failed[rows]).cast(pl.Boolean)
    )
    sums = frame.filter(pl.col("wrote").any().over("entry")).group_by("entry", maintain_order=True).agg(
        pl.col("began", "committed", "rolled_back").any(), written=pl.col("end").filter(pl.col("wrote")).max()
    )  # fmt: skip
    entry = sums["entry"].to_numpy()
    completed = pl.col("committed") | ~(pl.col("failed") | pl.col("began") | pl.col("rolled_back"))
    return sums.with_columns(
        trace=pl.Series(forest.trace[entry]),
        service=pl.Series(forest.service[entry]),
        failed=pl.Series(_failed_requests(subject)[entry]),
    ).select("entry", "trace", "service", "written", completed=completed)


def _alone(steps: pl.DataFrame) -> bool:
    """Tell whether no trace has several services that write."""
    several = steps.group_by("trace").agg(pl.col("service").n_unique()).filter(pl.col("service") > 1)
    return several.is_empty()


def _failed_requests(subject: Subject) -> Flags:
    """Mark the entries that failed: by themselves, by what they answered, or as their caller saw it."""
    forest, calls = subject.analysed.forest, subject.analysed.graph.calls
    failed = failed_spans(forest)
    refused = forest.source["http_status_code"].fill_null(0).to_numpy()[forest.source_row] >= _REFUSED
    seen = calls.filter(pl.col("answer").is_not_null() & pl.col("client_failed") & (pl.col("mode") == "sync"))
    failed[seen["answer"].to_numpy()] = True
    return (failed | refused) & subject.analysed.graph.entries


def _failures(subject: Subject) -> pl.DataFrame:
    """Return the requests in which failures began that nobody above made good.

    Columns ``failed``, ``trace``, ``failed_service``, ``begin``, ``end``. A request that failed was made good when its
    caller did not fail, or when it succeeded at a later attempt.
    """
    forest = subject.analysed.forest
    failed = _failed_requests(subject)
    above = _callers(subject)
    stands = failed.copy()
    climb(above, (stands,), (np.logical_and,))
    deeper = np.zeros(len(forest), np.bool_)
    rows = np.flatnonzero(stands & (above != NONE))
    deeper[above[rows]] = True
    begun = np.flatnonzero(stands & ~deeper)
    frame = pl.DataFrame(
        {
            "failed": begun.astype(np.int32),
            "trace": forest.trace[begun],
            "failed_service": forest.service[begun],
            "begin": forest.start[begun],
            "end": forest.end[begun],
            "name": forest.column("span_name", begun).cast(pl.String),
        }
    )
    return frame.join(_successes(subject, failed, frame), on=["trace", "failed_service", "name"], how="left").filter(
        pl.col("succeeded").is_null() | (pl.col("succeeded") < pl.col("begin"))
    )


def _callers(subject: Subject) -> Rows:
    """Return for each entry that was called synchronously the entry that called it, -1 for all other rows."""
    forest, calls = subject.analysed.forest, subject.analysed.graph.calls
    above = np.full(len(forest), NONE, np.int32)
    waited = calls.filter(pl.col("span").is_not_null() & pl.col("answer").is_not_null() & (pl.col("mode") == "sync"))
    above[waited["answer"].to_numpy()] = subject.entry[waited["span"].to_numpy()]
    entries = subject.analysed.graph.entries
    known = entries & (above != NONE)
    known[known] = entries[above[known]]
    return np.where(known, above, NONE).astype(np.int32)


def _successes(subject: Subject, failed: Flags, frame: pl.DataFrame) -> pl.DataFrame:
    """Return when each operation that failed in a trace last ended well there."""
    forest = subject.analysed.forest
    well = np.zeros(forest.traces.height, np.bool_)
    well[frame["trace"].to_numpy()] = True
    rows = np.flatnonzero(subject.analysed.graph.entries & ~failed & well[forest.trace])
    others = pl.DataFrame(
        {
            "trace": forest.trace[rows],
            "failed_service": forest.service[rows],
            "name": forest.column("span_name", rows).cast(pl.String),
            "succeeded": forest.start[rows],
        }
    )
    return others.group_by("trace", "failed_service", "name").agg(pl.col("succeeded").max())


def _exposed(failures: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    """Return each trace's first failure with the writes that other services had completed before it ended."""
    first = failures.sort("end", "failed").unique("trace", keep="first", maintain_order=True)
    pairs = first.join(steps, on="trace").filter(
        (pl.col("service") != pl.col("failed_service")) & (pl.col("written") <= pl.col("end"))
    )
    return pairs.sort("failed", "entry")


def _compensated(subject: Subject, limits: Limits, left: pl.DataFrame) -> pl.DataFrame:
    """Add ``undone``: whether the service that wrote has a compensation after the failure began.

    It may lie in a trace that messages tie to the failed one. A message that asks for one and whose consumer was not
    seen counts for every service. Writes that are compensations themselves are left out.
    """
    forest = subject.analysed.forest
    matches = partial(_contain_words, wanted=limits.compensations)
    marked = named_spans(forest, matches) | named_spans(forest, matches, "messaging_destination")
    group = _linked_traces(subject)
    rows = np.flatnonzero(marked)
    spans = pl.DataFrame(
        {"group": group[forest.trace[rows]], "service": forest.service[rows], "undone_at": forest.start[rows]}
    )
    unanswered = (
        spans.filter(pl.Series(_unanswered(subject)[rows])).group_by("group").agg(sent=pl.col("undone_at").max())
    )
    own = spans.group_by("group", "service").agg(pl.col("undone_at").max())
    kept = left.filter(~pl.Series(marked[left["entry"].to_numpy()]))
    known = kept.with_columns(group=pl.Series(group[kept["trace"].to_numpy()]))
    joined = known.join(own, on=["group", "service"], how="left").join(unanswered, on="group", how="left")
    undone = pl.max_horizontal("undone_at", "sent") >= pl.col("begin")
    return joined.with_columns(undone=undone.fill_null(value=False)).sort("failed", "entry")


def _contain_words(names: pl.Series, wanted: tuple[str, ...]) -> pl.Series:
    words = "|".join(re.escape(word) for word in wanted)
    return words_of(names).str.contains(rf"(?:^| )(?:{words})(?:d|ed|led|s|ing)?(?: |$)" if words else "$^")


def _unanswered(subject: Subject) -> Flags:
    """Mark the spans that send a message whose consumer was not seen."""
    graph = subject.analysed.graph
    sent = graph.messages.sends & ~graph.messages.wraps
    taken = subject.direct.calls.filter(pl.col("answer").is_not_null() & (pl.col("mode") == "async"))["span"]
    sent[taken.drop_nulls().to_numpy()] = False
    flags: Flags = sent
    return flags


def _linked_traces(subject: Subject) -> Rows:
    """Return for each trace the number of its group: traces between which messages went are one."""
    forest = subject.analysed.forest
    group = np.arange(forest.traces.height, dtype=np.int32)
    calls = subject.analysed.graph.calls.filter(pl.col("span").is_not_null() & pl.col("answer").is_not_null())
    here, there = (forest.trace[calls[side].to_numpy()] for side in ("span", "answer"))
    here, there = here[here != there], there[here != there]
    while (group[here] != group[there]).any():  # each round halves the longest way to a group's least trace
        least = np.minimum(group[here], group[there])
        np.minimum.at(group, group[here], least)
        np.minimum.at(group, group[there], least)
        group = group[group]
    return group


def _finding(subject: Subject, limits: Limits, own: pl.DataFrame) -> Finding:
    names = subject.analysed.forest.origins.services["service"]
    failing, operation = str(names[own["failed_service"][0]]), str(own["operation"][0])
    bare = own.filter(~pl.col("undone"))
    writers = [str(names[code]) for code in bare["service"].unique().sort()]
    evidence = _evidence(limits, own, bare)
    share = float(evidence["left_share"] or 0)
    many = bare["trace"].n_unique() >= limits.failures and share >= limits.critical_share
    return Finding(
        rule=NAME,
        severity="critical" if many else "warning",
        score=share,
        title=f"{' and '.join(writers)} keep what they wrote when {failing} fails at {operation}",
        services=(failing, *writers),
        evidence=evidence,
        trace_ids=subject.trace_ids(bare["trace"].unique(maintain_order=True).head(MOST_TRACES)),
        advice=_advice(subject, limits, failing, operation, bare),
    )


def _evidence(limits: Limits, own: pl.DataFrame, bare: pl.DataFrame) -> Evidence:
    failures, left = own["trace"].n_unique(), bare["trace"].n_unique()
    return {
        "failures": failures,
        "left": left,
        "failures_limit": limits.failures,
        "left_share": left / failures,
        "critical_share_limit": limits.critical_share,
        "writers": bare["service"].n_unique(),
        "compensated_writers": own.filter("undone")["service"].n_unique(),
    }


def _advice(subject: Subject, limits: Limits, failing: str, operation: str, bare: pl.DataFrame) -> str:
    """Name for each service that wrote its operation and its tables."""
    forest, statements = subject.analysed.forest, subject.statements
    used = pl.DataFrame({"entry": subject.entry[statements.rows], "code": statements.code})
    written = statements.texts.select("written").with_row_index("code").cast({"code": pl.Int32})
    tables = used.join(bare.select("entry", "service"), on="entry").join(written, on="code")
    names = forest.origins.services["service"]
    undoings = []
    for code in bare["service"].unique().sort():
        entry = bare.filter(pl.col("service") == code)["entry"].to_numpy()
        step = str(forest.column("span_name", entry[:1])[0])
        rows = tables.filter(pl.col("service") == code)["written"].explode().drop_nulls().unique().sort()
        undoings.append(f"{names[code]} something that undoes {step}" + (f" ({', '.join(rows)})" if len(rows) else ""))
    return (
        f"Give {' and '.join(undoings)}, and let {failing} publish the failure of {operation}, by an outbox, so that it"
        f" is done; name it with one of {', '.join(limits.compensations)} so that it is seen here. Or let {failing} go"
        " first, before anything is written."
    )


RULE = Rule(NAME, Limits, find, (requisites.traces, requisites.databases))
