"""distributed-transaction: several participants prepare and then commit together, and each waits for the slowest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.arrays import NONE
from analytics.findings import MOST_TRACES, Finding, Rule
from analytics.marks import named_spans, words_of
from analytics.rules import requisites
from analytics.waits import share_of_traces

if TYPE_CHECKING:
    from analytics.arrays import Array, Rows
    from analytics.findings import Evidence, Subject

NAME = "distributed-transaction"
_MS = 1e6
_START, _PREPARE, _COMMIT, _ROLLBACK = range(4)
_STATEMENTS = (
    r"(?i)^\s*(?:xa\s+(?:start|begin)|begin\s+distributed\s+tran)",
    r"(?i)^\s*(?:prepare\s+transaction|xa\s+prepare)\b",
    r"(?i)^\s*(?:commit\s+prepared|xa\s+commit)\b",
    r"(?i)^\s*(?:rollback\s+prepared|xa\s+rollback)\b",
)
"""By phase, in PostgreSQL, MySQL (XA) and SQL Server. ``PREPARE name AS SELECT`` prepares a statement: not meant."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``participants``: as many commit together at least (two: what makes a transaction distributed, methods §6).

    ``prepare``, ``commit`` and ``rollback`` are the last words of operations that stand for these phases where the
    services themselves, and not their databases, talk of transactions (names that two-phase commit uses everywhere).
    """

    participants: int = 2
    prepare: tuple[str, ...] = ("prepare", "can commit", "pre commit")
    commit: tuple[str, ...] = ("commit", "do commit")
    rollback: tuple[str, ...] = ("rollback", "abort")


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each set of services that commit together; all are pattern matches.

    A set within another one counts with that. A single service that prepares transactions is information: the other
    participants are not in the traces.
    """
    steps = pl.concat([_statement_steps(subject), _named_steps(subject, limits)])
    if steps.is_empty():
        return []
    traces = steps.group_by("trace").agg(
        services=pl.col("service").unique().sort().cast(pl.String).str.join(" "),
        participants=pl.col("participant").n_unique(),
    )
    found = []
    for parts in _groups(traces["services"].unique().to_list()):
        chosen = traces.filter(pl.col("services").is_in(parts))
        found.append(_finding(subject, limits, chosen, steps.join(chosen, on="trace", how="semi")))
    return sorted(found, key=lambda finding: (-finding.score, finding.title))


def _statement_steps(subject: Subject) -> pl.DataFrame:
    """Return the statements about transactions of several participants, where some are prepared in the same trace.

    Columns ``span``, ``trace``, ``service``, ``participant`` (service and database), ``phase``, ``begin`` and
    ``end``.
    """
    forest, statements = subject.analysed.forest, subject.statements
    texts = statements.texts["text"]
    phase = np.full(len(statements.rows), NONE, np.int8)
    for number, pattern in enumerate(_STATEMENTS):
        phase[statements.mark(texts.str.contains(pattern))] = number
    place = np.flatnonzero(phase != NONE)
    rows = statements.rows[place]
    databases = pl.DataFrame([forest.column(name, rows) for name in ("db_system", "server_address", "db_namespace")])
    database = databases.select(
        pl.concat_str(pl.all().cast(pl.String).fill_null(""), separator="|").rank("dense").cast(pl.Int64)
    ).to_series()
    steps = _steps(subject, rows, phase[place], database.to_numpy())
    return steps.filter((pl.col("phase") == _PREPARE).any().over("trace"))


def _named_steps(subject: Subject, limits: Limits) -> pl.DataFrame:
    """Return the requests whose names are phases, of services that prepare and then commit or roll back in a trace.

    As many services as make a transaction must do so.
    """
    forest = subject.analysed.forest
    phase = np.full(len(forest), NONE, np.int8)
    words = {_PREPARE: limits.prepare, _COMMIT: limits.commit, _ROLLBACK: limits.rollback}
    for number, wanted in words.items():
        phase[named_spans(forest, partial(_ends_with, wanted=wanted)) & subject.analysed.graph.entries] = number
    rows = np.flatnonzero(phase != NONE).astype(np.int32)
    steps = _steps(subject, rows, phase[rows], np.zeros(len(rows), np.int64))
    key = ["trace", "participant"]
    prepared = steps.filter(pl.col("phase") == _PREPARE).group_by(key).agg(ready=pl.col("end").min())
    decided = steps.filter(pl.col("phase") > _PREPARE).group_by(key).agg(decided=pl.col("begin").max())
    both = prepared.join(decided, on=key).filter(pl.col("ready") <= pl.col("decided"))
    enough = both.filter(pl.len().over("trace") >= limits.participants)
    return steps.join(enough, on=key, how="semi")


def _ends_with(names: pl.Series, wanted: tuple[str, ...]) -> pl.Series:
    words = words_of(names).str.replace(r" (?:transaction|tx)$", "")
    ends = [(words == word) | words.str.ends_with(f" {word}") for word in wanted]
    return pl.select(pl.any_horizontal(ends)).to_series() if ends else words.is_null()


def _steps(subject: Subject, rows: Rows, phase: Array, database: Array) -> pl.DataFrame:
    forest = subject.analysed.forest
    service = forest.service[rows].astype(np.int64)
    return pl.DataFrame(
        {
            "span": rows.astype(np.int32),
            "trace": forest.trace[rows],
            "service": forest.service[rows],
            "participant": service * (int(database.max(initial=0)) + 1) + database,
            "phase": phase.astype(np.int8),
            "begin": forest.start[rows],
            "end": forest.end[rows],
        }
    )


def _groups(sets: list[str]) -> list[list[str]]:
    """Return groups of sets (their members between blanks): one that no other contains, and all that it contains."""
    groups: list[list[str]] = []
    for one in sorted(sets, key=lambda one: (-len(one.split()), one)):
        around = next((group for group in groups if set(one.split()) <= set(group[0].split())), None)
        if around is None:
            groups.append([one])
        else:
            around.append(one)
    return groups


def _finding(subject: Subject, limits: Limits, traces: pl.DataFrame, steps: pl.DataFrame) -> Finding:
    order = steps.sort("begin", "service")["service"].unique(maintain_order=True)
    services = subject.analysed.forest.origins.services["service"].gather(order).to_list()
    participants = int(traces["participants"].max() or 0)  # type: ignore[arg-type]
    evidence = _evidence(subject, limits, participants, steps)
    several = participants >= limits.participants
    most = traces.sort("participants", "trace", descending=[True, False])["trace"]
    together = f"{' and '.join(services)} commit together in two phases"
    return Finding(
        rule=NAME,
        severity="critical" if several else "info",
        score=min(0.5 + float(evidence["critical_path_share"] or 0) / 2, 1.0) if several else 0.1,
        title=together if several else f"{services[0]} prepares transactions that others decide on",
        services=tuple(services),
        edges=_edges_between(subject, set(order.to_list())),
        evidence=evidence,
        trace_ids=subject.trace_ids(most.head(MOST_TRACES)),
        advice=_advice(services, _written(subject, traces, order)),
    )


def _evidence(subject: Subject, limits: Limits, participants: int, steps: pl.DataFrame) -> Evidence:
    """Count, and measure for how long participants stay prepared: until they commit or roll back in the same trace."""
    prepared = steps.filter(pl.col("phase") == _PREPARE)
    decided = steps.filter(pl.col("phase") > _PREPARE).select("trace", "participant", decided="begin").sort("decided")
    same = ["trace", "participant"]
    held = prepared.sort("end").join_asof(
        decided, left_on="end", right_on="decided", by=same, strategy="forward", check_sortedness=False
    )
    waits = (held["decided"] - held["end"]) / _MS
    return {
        "transactions": steps["trace"].n_unique(),
        "participants": participants,
        "participants_limit": limits.participants,
        "rolled_back": steps.filter(pl.col("phase") == _ROLLBACK)["trace"].n_unique(),
        "undecided": int(waits.null_count()),
        "prepared_ms": float(waits.mean() or 0.0),  # type: ignore[arg-type]
        "prepared_most_ms": float(waits.max() or 0.0),  # type: ignore[arg-type]
        "critical_path_share": share_of_traces(subject.analysed, steps["span"].to_numpy()),
    }


def _edges_between(subject: Subject, services: set[int]) -> tuple[str, ...]:
    edges = subject.direct_edges.filter(
        pl.col("caller_node").is_in(list(services))
        & pl.col("callee_node").is_in(list(services))
        & (pl.col("caller_node") != pl.col("callee_node"))
    )
    pairs = edges.select("caller", "callee").unique(maintain_order=True)  # an edge may be sync and async
    return tuple(f"{caller}->{callee}" for caller, callee in pairs.iter_rows())


def _written(subject: Subject, traces: pl.DataFrame, services: pl.Series) -> list[str]:
    """Return for each service the tables that it writes in these traces, joined by commas."""
    statements, forest = subject.statements, subject.analysed.forest
    rows = pl.DataFrame({"trace": forest.trace[statements.rows], "service": forest.service[statements.rows]})
    used = rows.with_columns(code=pl.Series(statements.code)).join(traces.select("trace"), on="trace", how="semi")
    written = statements.texts.select("written").with_row_index("code").cast({"code": pl.Int32})
    tables = used.select("service", "code").unique().join(written, on="code").explode("written").drop_nulls()
    named = tables.select("service", "written").unique().sort("written")
    return [", ".join(named.filter(pl.col("service") == service)["written"].to_list()) for service in services]


def _advice(services: list[str], tables: list[str]) -> str:
    steps = [f"{name} ({written})" if written else name for name, written in zip(services, tables, strict=True)]
    if len(services) == 1:
        return f"Find out who else takes part; {steps[0]} could commit alone and tell the others by an outbox."
    return (
        f"Make it a saga: {steps[0]} commits alone, and writes in the same transaction to an outbox table what is to be"
        f" done next; {', then '.join(steps[1:])} does its step on that message and answers with one. Give each step"
        f" that can be followed by a failure its undoing ({', '.join(f'cancel in {name}' for name in services[:-1])})."
        " Then nobody holds locks while the others work."
    )


RULE = Rule(NAME, Limits, find, (requisites.traces, requisites.databases))
