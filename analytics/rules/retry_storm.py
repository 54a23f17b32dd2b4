"""retry-storm: while a callee fails, its callers' retries multiply what it has to do; or would, since nobody waits."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.findings import Finding, Rule, unknown_finding, worst_first
from analytics.rules import requisites
from analytics.rules.suggestions import format_ms
from analytics.words import listed, percent

if TYPE_CHECKING:
    from analytics.arrays import Flags
    from analytics.findings import Severity, Subject

NAME = "retry-storm"
_MS, _SECOND = 1e6, 1e9


@dataclass(frozen=True, slots=True)
class Limits:
    """``amplification``: attempts by first attempts while the callee fails; a third of the load are retries at 1.5.

    ``critical_amplification``: at 2 the failing callee gets twice what was asked for, and a callee that is overloaded
    never recovers. Both are our own choice, also along a path. ``error_rate``: a callee is failing from this share on
    (at 0.3 two retries make 1.4). ``retries`` while it fails; fewer are no storm. ``wait_ms``: who waits less before
    most retries waits for nothing (our own choice). ``tries``, and ``again_share`` of the first attempts that failed,
    make that a habit. ``budget_share``: retries by requests that the advice allows, 10 % as in the SRE book.
    """

    amplification: float = 1.5
    critical_amplification: float = 2.0
    error_rate: float = 0.3
    retries: int = 20
    wait_ms: float = 10.0
    tries: int = 10
    again_share: float = 0.5
    budget_share: float = 0.1


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each edge with a storm, then for each other one whose caller tries again at once."""
    made = subject.edge_calls.calls.filter(~pl.col("rejected"))
    if made.is_empty():
        return []
    edges = _phases(subject, made, limits).join(_habits(subject, made), on="edge", how="left").sort("edge")
    rise = pl.col("amplification") / pl.col("calm_amplification").fill_null(1.0)
    storm = (
        (pl.col("retries") >= limits.retries)
        & (pl.col("amplification") >= limits.amplification)
        & (rise >= pl.col("traffic_rise").fill_null(1.0))
    )
    habit = pl.col("first_repeated") >= limits.again_share * pl.col("first_failures")
    at_once = habit & (pl.col("tries") >= limits.tries) & (pl.col("wait_ms") < limits.wait_ms)
    edges = edges.with_columns(storm=storm.fill_null(value=False), at_once=at_once.fill_null(value=False))
    found = [_storm(subject, limits, edge, edges, made) for edge in edges.filter("storm").iter_rows(named=True)]
    habits = edges.filter(pl.col("at_once") & ~pl.col("storm"))
    found += [_habit(subject, limits, edge, edges, made) for edge in habits.iter_rows(named=True)]
    return worst_first(found) if found else _unknown(edges, limits)


def _unknown(edges: pl.DataFrame, limits: Limits) -> list[Finding]:
    """Return nothing where a callee failed often without a storm, else what is missing."""
    failures = (edges["attempts"] * edges["error_rate"].fill_null(0.0)).to_numpy().max(initial=0.0)
    if failures >= limits.retries:
        return []
    missing = "no service failed often enough to tell whether its callers' retries would multiply its load"
    return [unknown_finding(NAME, missing, edges=edges.height, error_rate_limit=limits.error_rate)]


def _phases(subject: Subject, made: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """Return for each edge what was attempted while it failed, and what while it did not (``calm_``).

    ``traffic`` is root requests a second in either time, ``traffic_rise`` their ratio; null without calm.
    """
    stretches = subject.edge_calls.stretches
    failing = ((stretches["failed"] > 0) & (stretches["failed"] >= limits.error_rate * stretches["weight"])).to_numpy()
    weight, again = pl.col("weight"), pl.col("attempt") > 1
    sums = made.with_columns(phase=pl.Series(failing).gather(made["stretch"])).group_by("edge", "phase").agg(
        pl.len().alias("attempts"),
        again.sum().alias("retries"),
        (weight.filter("failed").sum() / weight.sum()).alias("error_rate"),
        (weight.sum() / weight.filter(~again).sum()).alias("amplification"),
    )  # fmt: skip
    timed = sums.join(_traffic(subject, stretches, failing), on=["edge", "phase"], how="left")
    calm, ill = (timed.filter(pl.col("phase") == phase).drop("phase") for phase in (False, True))
    both = timed.select("edge").unique().join(ill, on="edge", how="left").join(
        calm.rename({name: f"calm_{name}" for name in calm.columns if name != "edge"}), on="edge", how="left"
    )  # fmt: skip
    # A stretch of retries alone has no first attempt: they repeat those of the stretch before.
    bounded = [pl.when(pl.col(n).is_finite()).then(pl.col(n)).alias(n) for n in ("amplification", "calm_amplification")]
    rise = pl.when(pl.col("calm_traffic") > 0).then(pl.col("traffic") / pl.col("calm_traffic"))
    return both.with_columns(*bounded, pl.col("attempts", "retries").fill_null(0), traffic_rise=rise)


def _traffic(subject: Subject, stretches: pl.DataFrame, failing: Flags) -> pl.DataFrame:
    """Return by edge and phase the requests of users a second."""
    forest = subject.analysed.forest
    root = forest.trace_root[forest.trace_root >= 0]
    order = np.argsort(forest.start[root])
    start = forest.start[root][order]
    weight = np.append(0.0, np.cumsum(subject.analysed.weights[forest.trace[root]][order]))
    begin, until = (np.searchsorted(start, stretches[name].to_numpy()) for name in ("begin", "until"))
    frame = stretches.select("edge", ns=pl.col("until") - pl.col("begin")).with_columns(
        phase=pl.Series(failing), requests=pl.Series(weight[until] - weight[begin])
    )
    return frame.group_by("edge", "phase").agg(traffic=pl.col("requests").sum() / (pl.col("ns").sum() / _SECOND))


def _habits(subject: Subject, made: pl.DataFrame) -> pl.DataFrame:
    """Return for each edge with retries how its caller tries again.

    ``tries`` are those whose failed attempt is seen, ``wait_ms`` the median time between the two, ``most_attempts`` the
    most at one thing, ``first_failures`` first attempts that failed and ``first_repeated`` those of them tried again.
    """
    attempts, calls = subject.analysed.attempts, made["call"].to_numpy()
    near = made.filter(pl.Series((attempts.number[calls] > 1) | attempts.repeated[calls]) | pl.col("failed"))
    rows = near["call"].to_numpy()
    told = near.with_columns(earlier=pl.Series(attempts.earlier[rows]), repeated=pl.Series(attempts.repeated[rows]))
    ends = near.select(earlier="call", ended=pl.col("begin") + pl.col("ns"))
    waits = told.join(ends, on="earlier", how="left").with_columns(wait_ms=(pl.col("begin") - pl.col("ended")) / _MS)
    first = pl.col("failed") & (pl.col("attempt") == 1)
    habits = waits.group_by("edge").agg(
        pl.col("wait_ms").is_not_null().sum().alias("tries"),
        pl.col("wait_ms").median(),
        pl.col("attempt").max().alias("most_attempts"),
        first.sum().alias("first_failures"),
        (first & pl.col("repeated")).sum().alias("first_repeated"),
    )
    return habits.filter(pl.col("most_attempts") > 1)


def _storm(subject: Subject, limits: Limits, edge: dict[str, Any], edges: pl.DataFrame, made: pl.DataFrame) -> Finding:
    """Say by how much the retries on one edge multiply the load of its callee, alone and with those above it."""
    path, product = _path(subject, edges, edge, "amplification")
    names = _names(path)
    caller, callee = names[-2:]
    severity: Severity = "critical" if product >= limits.critical_amplification else "warning"
    return Finding(
        NAME,
        severity,
        score=1 - 1 / product,
        title=(
            f"{caller} calls {callee} {edge['amplification']:.1f} times for each request while"
            f" {percent(edge['error_rate'])} of the calls fail"
        ),
        services=names,
        edges=_edges(names),
        evidence={
            "storm": True,
            "amplification": edge["amplification"],
            "amplification_limit": limits.amplification,
            "calm_amplification": edge["calm_amplification"],
            "path_amplification": product,
            "critical_amplification_limit": limits.critical_amplification,
            "attempts": edge["attempts"],
            "retries": edge["retries"],
            "retries_limit": limits.retries,
            "error_rate": edge["error_rate"],
            "error_rate_limit": limits.error_rate,
            "calm_error_rate": edge["calm_error_rate"],
            "traffic_per_s": edge["traffic"],
            "calm_traffic_per_s": edge["calm_traffic"],
            "traffic_rise": edge["traffic_rise"],
            "wait_ms": edge["wait_ms"],
            "most_attempts": edge["most_attempts"],
        },
        trace_ids=_traces(subject, edge, made),
        advice=_advice(limits, names, edge, edge["attempts"] - edge["retries"], edge["retries"]),
    )


def _habit(subject: Subject, limits: Limits, edge: dict[str, Any], edges: pl.DataFrame, made: pl.DataFrame) -> Finding:
    """Say that a caller tries again at once, and what its callee would get were it down."""
    path, product = _path(subject, edges, edge, "most_attempts")
    names = _names(path)
    caller, callee = names[-2:]
    mine = made.filter(pl.col("edge") == edge["edge"])
    retries = int((mine["attempt"] > 1).sum())
    return Finding(
        NAME,
        "warning" if product > limits.critical_amplification else "info",
        score=0.5 * (1 - 1 / product),
        title=(
            f"{caller} tries failed calls to {callee} again at once, {edge['most_attempts']} times in all: were"
            f" {callee} down, it would get up to {product:g} times its load"
        ),
        services=names,
        edges=_edges(names),
        evidence={
            "storm": False,
            "most_attempts": edge["most_attempts"],
            "path_attempts": product,
            "critical_amplification_limit": limits.critical_amplification,
            "wait_ms": edge["wait_ms"],
            "wait_limit_ms": limits.wait_ms,
            "tries": edge["tries"],
            "tries_limit": limits.tries,
            "first_failures": edge["first_failures"],
            "first_repeated": edge["first_repeated"],
            "again_share_limit": limits.again_share,
            "calls": mine.height,
            "retries": retries,
            "error_rate": float(mine.filter("failed")["weight"].sum()) / float(mine["weight"].sum()),
        },
        trace_ids=_traces(subject, edge, made),
        advice=_advice(limits, names, edge, mine.height - retries, retries),
    )


def _path(
    subject: Subject, edges: pl.DataFrame, last: dict[str, Any], factor: str
) -> tuple[list[dict[str, Any]], float]:
    """Return the edges that end with this one and whose retries multiply, and the product; no service comes twice.

    Upwards it takes the edge with the greatest factor, in its own failing time, and stops where nobody retries.
    """
    ends = subject.analysed.edges.select("edge", "caller_node", "callee_node", "caller", "callee")
    retrying = edges.filter(pl.col(factor) > 1).join(ends, on="edge").sort(factor, "edge")
    (lowest,) = ends.filter(pl.col("edge") == last["edge"]).iter_rows(named=True)
    path, product, seen = [lowest], float(last[factor]), {lowest["caller_node"], lowest["callee_node"]}
    while True:
        node = path[0]["caller_node"]
        above = retrying.filter((pl.col("callee_node") == node) & ~pl.col("caller_node").is_in(list(seen)))
        if above.is_empty():
            return path, product
        path.insert(0, above.row(-1, named=True))
        product *= path[0][factor]
        seen.add(path[0]["caller_node"])


def _names(path: list[dict[str, Any]]) -> tuple[str, ...]:
    return (path[0]["caller"], *(edge["callee"] for edge in path))


def _edges(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{caller}->{callee}" for caller, callee in pairwise(names))


def _traces(subject: Subject, edge: dict[str, Any], made: pl.DataFrame) -> tuple[str, ...]:
    """Return the traces with most retries on an edge."""
    again = made.filter((pl.col("edge") == edge["edge"]) & (pl.col("attempt") > 1)).group_by("trace").len()
    return subject.trace_ids(again.sort("len", "trace", descending=[True, False])["trace"])


def _advice(limits: Limits, names: tuple[str, ...], edge: dict[str, Any], requests: int, retries: int) -> str:
    """Say who should stop, how much the one who goes on may do, and how long it should wait."""
    caller, callee = names[-2:]
    above = _edges(names)[:-1]
    stop = f"Stop retrying on {listed(above)}: {caller}, next to {callee}, retries already. " if above else ""
    allowed = round(limits.budget_share * requests)
    instead = f" ({allowed:,} retries here instead of {retries:,})" if allowed < retries else ""
    now = f" (now {format_ms(edge['wait_ms'])})" if edge["wait_ms"] is not None else ""
    return (
        f"{stop}Give {caller} a retry budget for {callee} of {percent(limits.budget_share)} of its requests"
        f"{instead}, wait before each retry{now}, twice as long each time and"
        " with jitter, and do not retry what cannot succeed (answers that refuse, an open circuit breaker)."
    )


RULE = Rule(NAME, Limits, find, (requisites.requests, requisites.calls, requisites.times))
