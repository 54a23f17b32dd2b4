"""distributed-lock: instances or services queue for one lock, and hold it while they work or wait for others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE
from analytics.findings import MOST_TRACES, Finding, Rule
from analytics.marks import named_spans
from analytics.rules import requisites
from analytics.waits import share_of_traces

if TYPE_CHECKING:
    from analytics.arrays import Rows
    from analytics.findings import Evidence, Severity, Subject

NAME = "distributed-lock"
_MS = 1e6
_KINDS = ("advisory lock", "key that is set once", "row lock", "table lock", "lock service")
_ADVISORY, _KEY, _ROW, _TABLE, _SERVICE = range(5)
_STATEMENTS = {
    _ROW: r"(?is)^\s*(?:select|with)\b.*(?:\bfor\s+(?:no\s+key\s+)?update\b|\bwith\s*\(\s*updlock)",
    _TABLE: r"(?i)^\s*lock\s+tables?\b",
    _ADVISORY: r"(?i)\b(?:pg_(?:try_)?advisory_(?:xact_)?lock(?:_shared)?|get_lock|sp_getapplock|dbms_lock\.request)\b",
    _KEY: r"(?is)^\s*(?:set\b.*\bnx\b|setnx\b|eval(?:sha)?\b.*\b(?:setnx|nx|pexpire)\b.*)",
}
"""PostgreSQL, MySQL, SQL Server and Oracle; of Redis the statement of every recipe for locks, Redlock's and
Redisson's scripts too. Of several that match, the last one here counts."""
_SKIPS = r"(?i)\bskip\s+locked\b"
"""Who skips what is locked takes work from a table and waits for nobody."""
_FREES = (
    r"(?is)^\s*(?:commit|rollback|abort|unlock\s+tables|del\b|unlink\b|eval.*\bdel\b)"
    r"|\b(?:pg_advisory_unlock(?:_all|_shared)?|release_lock|sp_releaseapplock)\b"
)
_FREES_NAMES = ("unlock", "releaselock")


@dataclass(frozen=True, slots=True)
class Limits:
    """``wait_share``: locks that take this share of their traces' time are a warning (our own choice, as the next).

    ``critical_share``: from this share on they are critical. ``names`` are what the names of spans that take a lock
    contain, without signs and in lower case (client libraries of Redis, Curator for ZooKeeper, etcd, Consul).
    """

    wait_share: float = 0.05
    critical_share: float = 0.25
    names: tuple[str, ...] = (
        *("trylock", "acquirelock", "lockacquire", "redlock", "redissonlock", "distributedlock"),
        *("interprocessmutex", "v3lockpblocklock", "concurrencylock"),
    )


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each service that takes locks; all are pattern matches."""
    locks = _locks(subject, limits)
    if locks.is_empty():
        return []
    held = _with_calls(subject, _with_ends(subject, locks))
    found = [_finding(subject, limits, own) for own in held.partition_by("service", maintain_order=True)]
    return sorted(found, key=lambda finding: -finding.score)


def _locks(subject: Subject, limits: Limits) -> pl.DataFrame:
    """Return the spans that take a lock: ``span``, ``trace``, ``service``, ``entry``, ``kind``, ``begin``, ``end``."""
    forest, statements = subject.analysed.forest, subject.statements
    text = statements.texts["text"]
    kind = np.full(len(forest), NONE, np.int8)
    kind[named_spans(forest, partial(_contain, wanted=limits.names))] = _SERVICE
    for number, pattern in _STATEMENTS.items():
        kind[statements.rows[statements.mark(text.str.contains(pattern) & ~text.str.contains(_SKIPS))]] = number
    span = np.flatnonzero(kind != NONE).astype(np.int32)
    # Of a client's span and the answer to it, or of two layers of one library, the outer one is the wait.
    parent = forest.parent[span]
    span = span[(parent == NONE) | (kind[parent] != kind[span])]
    return _times(subject, span).with_columns(kind=pl.Series(kind[span]))


def _contain(names: pl.Series, wanted: tuple[str, ...]) -> pl.Series:
    return names.str.to_lowercase().str.replace_all("[^a-z0-9]", "").str.contains_any(list(wanted))


def _times(subject: Subject, span: Rows) -> pl.DataFrame:
    forest = subject.analysed.forest
    columns = {
        "span": span,
        "trace": forest.trace[span],
        "service": forest.service[span],
        "entry": subject.entry[span],
        "begin": forest.start[span],
        "end": forest.end[span],
    }
    return pl.DataFrame(columns)


def _with_ends(subject: Subject, locks: pl.DataFrame) -> pl.DataFrame:
    """Add ``freed``, when each lock is given back: at the next such span of its request, else at the request's end."""
    forest, statements = subject.analysed.forest, subject.statements
    named = np.flatnonzero(named_spans(forest, partial(_contain, wanted=_FREES_NAMES))).astype(np.int32)
    said = statements.rows[statements.mark(statements.texts["text"].str.contains(_FREES))]
    frees = _times(subject, np.union1d(named, said)).select("entry", freed="begin").sort("freed")
    found = locks.sort("end").join_asof(
        frees, left_on="end", right_on="freed", by="entry", strategy="forward", check_sortedness=False
    )
    ends = pl.Series(forest.end[found["entry"].to_numpy()])
    return found.with_columns(freed=pl.max_horizontal(pl.col("freed").fill_null(ends), "end")).sort("service", "span")


def _with_calls(subject: Subject, locks: pl.DataFrame) -> pl.DataFrame:
    """Add ``callees``: the nodes of the services and external systems that are called while each lock is held."""
    forest, graph = subject.analysed.forest, subject.analysed.graph
    others = graph.nodes.filter(pl.col("type").is_in(["service", "external"]))["node"]
    calls = graph.calls.filter((pl.col("mode") == "sync") & pl.col("span").is_not_null())
    calls = calls.filter(pl.col("callee").is_in(others.implode()) & (pl.col("callee") != pl.col("caller")))
    span = calls["span"].to_numpy()
    made = pl.DataFrame({"entry": subject.entry[span], "called": forest.start[span], "callee": calls["callee"]})
    during = locks.select("span", "entry", "end", "freed").join(
        made.join(locks, on="entry", how="semi"), on="entry"
    ).filter(pl.col("called").is_between("end", "freed", closed="left"))  # fmt: skip
    callees = during.group_by("span").agg(callees=pl.col("callee").unique().sort())
    return locks.join(callees, on="span", how="left", maintain_order="left")


def _finding(subject: Subject, limits: Limits, locks: pl.DataFrame) -> Finding:
    names = subject.analysed.graph.nodes["name"]
    service = str(names[locks["service"][0]])
    callees = [str(names[node]) for node in locks["callees"].explode().drop_nulls().unique().sort()]
    evidence = _evidence(subject, limits, locks)
    severity = _severity(locks, evidence, limits)
    counted = locks.group_by("kind").len().sort("len", "kind", descending=[True, False])
    kinds = [f"{count} x {_KINDS[kind]}" for kind, count in counted.iter_rows()]
    while_held = f", and holds them while it calls {' and '.join(callees)}" if callees else ""
    return Finding(
        rule=NAME,
        severity=severity,
        score=_score(evidence),
        title=f"{service} takes locks ({', '.join(kinds)}){while_held}",
        services=(service,),
        edges=tuple(f"{service}->{callee}" for callee in callees),
        evidence=evidence,
        trace_ids=subject.trace_ids(_clearest(locks)),
        advice=_advice(service, callees, counted["kind"].to_list(), evidence),
    )


def _evidence(subject: Subject, limits: Limits, locks: pl.DataFrame) -> Evidence:
    wait, held = ((locks[to] - locks[since]) / _MS for since, to in (("begin", "end"), ("end", "freed")))
    calling = locks["callees"].is_not_null()
    return {
        "locks": locks.height,
        "traces": locks["trace"].n_unique(),
        "wait_ms": float(wait.mean() or 0.0),  # type: ignore[arg-type]
        "wait_most_ms": float(wait.max() or 0.0),  # type: ignore[arg-type]
        "held_ms": float(held.mean() or 0.0),  # type: ignore[arg-type]
        "held_while_calling_share": int(calling.sum()) / locks.height,
        "critical_path_share": share_of_traces(subject.analysed, locks["span"].to_numpy()),
        "wait_share_limit": limits.wait_share,
        "critical_share_limit": limits.critical_share,
    }


def _severity(locks: pl.DataFrame, evidence: Evidence, limits: Limits) -> Severity:
    """Row locks inside one service's own work that nobody waits for long are information only."""
    share = float(evidence["critical_path_share"] or 0)
    if share >= limits.critical_share:
        return "critical"
    alone = bool((locks["kind"] == _ROW).all()) and not evidence["held_while_calling_share"]
    return "info" if alone and share < limits.wait_share else "warning"


def _score(evidence: Evidence) -> float:
    """Half for what the traces wait, half for how often others are called under the lock."""
    waited, calling = (float(evidence[name] or 0) for name in ("critical_path_share", "held_while_calling_share"))
    return min((waited + calling) / 2, 1.0)


def _clearest(locks: pl.DataFrame) -> list[int]:
    """Return the traces that waited longest, those that call others under the lock first."""
    waited, calling = pl.col("end") - pl.col("begin"), pl.col("callees").is_not_null()
    order = locks.select("trace", calling=calling, waited=waited)
    best = order.sort("calling", "waited", "trace", descending=[True, True, False])
    return best["trace"].unique(maintain_order=True).head(MOST_TRACES).to_list()


def _advice(service: str, callees: list[str], kinds: list[int], evidence: Evidence) -> str:
    first = ""
    if callees:
        names = " and ".join(callees)
        first = (
            f"Let {service} give the lock back before it calls {names} (it holds it for {evidence['held_ms']:.0f} ms on"
            f" average): commit first, and send {names} a message from an outbox. "
        )
    if set(kinds) <= {_ROW, _TABLE}:
        return f"{first}Replace the lock by one conditional update (UPDATE ... WHERE version = ... or amount >= ...)."
    return (
        f"{first}Let one consumer of {service} do this work in turn, from a queue partitioned by what is locked, or use"
        " a conditional update and an idempotent operation instead of the lock; one that stays needs a fencing token."
    )


RULE = Rule(NAME, Limits, find, (requisites.traces, requisites.databases))
