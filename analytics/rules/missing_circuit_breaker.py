"""missing-circuit-breaker: a caller keeps calling at full rate while most of its calls fail or hang."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.arrays import starts_of_runs
from analytics.findings import Finding, Rule, unknown_finding, worst_first
from analytics.rules import requisites
from analytics.rules.suggestions import breaker, format_ms
from analytics.rules.traces import slowest
from analytics.stretches import STRETCH
from analytics.words import percent

if TYPE_CHECKING:
    from analytics.arrays import Array, Flags
    from analytics.findings import Subject

NAME = "missing-circuit-breaker"
_MS = 1e6
_ANSWERED = 0.5
"""Share of healthy calls that have an answer in the traces, from which one that has none never arrived."""
_REFUSED = ("refused", "connect", "reset", "unreachable", "resolution", "gaierror", "unknownhost", "dns", "unavailable")
"""Parts of the names of errors by which the network fails at once, without a breaker."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``calls`` and ``bad_share``: that many calls, one after the other, of which that share fails or is slow.

    Both are Resilience4j's defaults for failures. ``slow_times``: a call is slow from so many times the healthy p99.
    ``kept_share``: a breaker is at work when less of the caller's requests still call than this. ``fast_ms``: a failure
    without an answer that comes faster never left the caller. ``critical_times``: it is critical when bad calls take as
    many times what is usual, since they hold their callers up. The last four are our own choice.
    """

    calls: int = 100
    bad_share: float = 0.5
    slow_times: float = 2.0
    kept_share: float = 0.8
    fast_ms: float = 1.0
    critical_times: float = 10.0


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each edge whose caller went on calling, the one that was held up most first."""
    calls = subject.edge_calls.calls
    if calls.is_empty():
        return []
    bad, slow = _bad(subject, limits)
    times = _bad_times(subject, bad, limits)
    outages = [_Outage(subject, limits, edge, times.filter(pl.col("edge") == edge), bad, slow)
               for edge in times["edge"].unique().sort()]  # fmt: skip
    missing = [outage for outage in outages if outage.kept >= limits.kept_share]
    if missing:
        callers = {outage.edge["caller_node"] for outage in missing}
        return worst_first(outage.finding(passed_on=outage.edge["callee_node"] in callers) for outage in missing)
    edges, seen = calls["edge"].n_unique(), len(outages)
    if seen == edges:
        return []
    lacks = (
        f"{edges - seen} of {edges} edges never had {limits.calls} calls in a row of which half failed or hung, so what"
        " their callers do then is not known"
    )
    return [unknown_finding(NAME, lacks, edges=edges, edges_that_failed=seen, calls_limit=limits.calls)]


def _bad(subject: Subject, limits: Limits) -> tuple[Flags, Flags]:
    """Tell for each of EDGE_CALLS whether it is bad, failed or slow, and whether it is slow."""
    calls, baselines = subject.edge_calls.calls, subject.edge_calls.baselines
    usual = np.full(subject.analysed.edges.height, np.inf)
    known = baselines.filter(pl.col("p99_ms").is_not_null() & (pl.col("calls") >= limits.calls))
    usual[known["edge"].to_numpy()] = known["p99_ms"].to_numpy() * _MS * limits.slow_times
    slow: Flags = calls["ns"].to_numpy() > usual[calls["edge"].to_numpy()]
    return slow | calls["failed"].to_numpy(), slow


def _bad_times(subject: Subject, bad: Flags, limits: Limits) -> pl.DataFrame:
    """Return when edges were bad long enough: ``edge``, stretches ``first`` to ``behind``, ``begin``, ``until``."""
    calls, stretches = subject.edge_calls.calls, subject.edge_calls.stretches
    amount = np.bincount(calls["stretch"].to_numpy(), calls["weight"].to_numpy() * bad, stretches.height)
    weight, edge = stretches["weight"].to_numpy(), stretches["edge"].to_numpy()
    within = _in_bad_windows(edge, amount, weight, limits)
    run = np.cumsum(starts_of_runs(edge, within)) - 1
    # A window may begin or end with stretches that are well: they belong to no outage.
    ill = (amount > 0) & (amount >= limits.bad_share * weight)
    marked = stretches.with_columns(run=pl.Series(run), ill=pl.Series(ill)).filter(pl.Series(within))
    ends = [pl.col("stretch").filter("ill").min(), pl.col("stretch").filter("ill").max()]
    inside = pl.col("stretch").is_between(ends[0].over("run"), ends[1].over("run"))
    runs = marked.filter(inside).group_by("run").agg(
        pl.col("edge").first(),
        pl.col("stretch").min().alias("first"),
        (pl.col("stretch").max() + 1).alias("behind"),
        pl.col("begin").min(),
        pl.col("until").max(),
    )  # fmt: skip
    return runs.sort("edge", "first")


def _in_bad_windows(edge: Array, amount: Array, weight: Array, limits: Limits) -> Flags:
    """Mark the stretches within a window of one edge that is bad: so many stretches as have ``calls`` calls."""
    size, count = max(-(-limits.calls // STRETCH), 1), len(edge)
    marks = np.zeros(count + 1, np.int64)
    if count >= size:
        bad, whole = (np.append(0.0, np.cumsum(values)) for values in (amount, weight))
        begin = np.arange(count - size + 1)
        window, total = bad[begin + size] - bad[begin], whole[begin + size] - whole[begin]
        is_bad = (edge[begin] == edge[begin + size - 1]) & (window > 0) & (window >= limits.bad_share * total)
        marks[begin[is_bad]] += 1
        marks[begin[is_bad] + size] -= 1
    flags: Flags = np.cumsum(marks[:-1]) > 0
    return flags


class _Outage:
    """The times in which most calls on one edge failed or hung."""

    def __init__(
        self, subject: Subject, limits: Limits, edge: int, times: pl.DataFrame, bad: Flags, slow: Flags
    ) -> None:
        self.subject, self.limits, self.times = subject, limits, times
        self.edge = subject.analysed.edges.row(edge, named=True)
        calls = subject.edge_calls.calls
        mine = slice(*np.searchsorted(calls["edge"].to_numpy(), [edge, edge + 1]))  # they are sorted by edge
        self.all = calls[mine]
        within = _within(self.all["stretch"].to_numpy(), times["first"].to_numpy(), times["behind"].to_numpy())
        self.bad, self.slow = bad[mine] & within, slow[mine] & within
        self.calls = self.all.filter(pl.Series(within))
        self.all = self.all.with_columns(rejected=pl.Series(self._rejected()))
        base = subject.edge_calls.baselines.filter(pl.col("edge") == edge)
        self.usual: dict[str, Any] = base.row(0, named=True) if base.height else {}
        self.requests, self.kept = self._kept()

    def _rejected(self) -> Flags:
        """Mark calls that a breaker forbade: by their errors, or failed at once with nobody to blame."""
        calls = self.all
        healthy = calls.filter("healthy")
        answered = healthy["answer"].is_not_null().sum() / max(healthy.height, 1)
        flags: Flags = calls["rejected"].to_numpy().copy()
        alone = pl.col("own") & pl.col("failed") & pl.col("answer").is_null()
        fast = calls.select(alone & (pl.col("ns") < self.limits.fast_ms * _MS)).to_series().to_numpy()
        rows = np.flatnonzero(fast & ~flags) if answered > _ANSWERED else np.empty(0, np.intp)
        if rows.size:
            flags[rows] = ~_network(self.subject.analysed.forest.column("error_type", calls["timed"].to_numpy()[rows]))
        return flags

    def _kept(self) -> tuple[int, float]:
        """Return the caller's requests in these times that would have called in better ones, and the share that did."""
        forest, graph = self.subject.analysed.forest, self.subject.analysed.graph
        entries = np.flatnonzero(graph.entries & (forest.service == self.edge["caller_node"]))
        asked = np.zeros(len(forest), np.bool_)
        asked[self.all.filter(~pl.col("rejected"))["entry"].to_numpy()] = True
        begin = forest.start[entries]
        frame = pl.DataFrame(
            {
                "operation": forest.column("span_name", entries),
                "asked": asked[entries],
                "bad": _within(begin, self.times["begin"].to_numpy(), self.times["until"].to_numpy()),
            }
        )
        share = frame.group_by("operation").agg(
            pl.col("asked").filter("bad").sum().alias("did"),
            pl.col("bad").sum().alias("bad"),
            pl.col("asked").filter(~pl.col("bad")).mean().fill_null(pl.col("asked").any().cast(pl.Float64)).alias("usual"),
        )  # fmt: skip
        expected = float((share["bad"] * share["usual"]).sum())
        did = float(share.filter(pl.col("usual") > 0)["did"].sum())
        return round(expected), did / expected if expected > 0 else 0.0

    def finding(self, *, passed_on: bool) -> Finding:
        """Say what the caller did; what the callee only passed on counts half, so that the origin comes first."""
        caller, callee = self.edge["caller"], self.edge["callee"]
        evidence = self._evidence()
        times = evidence["bad_mean_ms"] / self.usual["p50_ms"] if self.usual.get("p50_ms") else 0.0
        return Finding(
            NAME,
            "critical" if times >= self.limits.critical_times else "warning",
            score=min(evidence["bad_share"] * min(self.kept, 1.0) * (0.5 if passed_on else 1.0), 1.0),
            title=f"{caller} goes on calling {callee} while {percent(evidence['bad_share'])} of its calls fail or hang",
            services=(caller, callee) if self.edge["callee_type"] == "service" else (caller,),
            edges=(f"{caller}->{callee}",),
            evidence=evidence,
            trace_ids=slowest(self.subject, self.calls.filter("failed")["trace"].unique().to_numpy()
                              if self.calls["failed"].any() else self.calls["trace"].unique().to_numpy()),
            advice=self._advice(evidence),
        )  # fmt: skip

    def _evidence(self) -> dict[str, Any]:
        weight = self.all["weight"].to_numpy()
        total = float(self.calls["weight"].sum())
        ns = self.all["ns"].to_numpy()
        return {
            "calls": self.calls.height,
            "calls_limit": self.limits.calls,
            "bad_share": float(weight[self.bad].sum()) / total,
            "bad_share_limit": self.limits.bad_share,
            "failed_share": float(self.calls.filter("failed")["weight"].sum()) / total,
            "slow_share": float(weight[self.slow].sum()) / total,
            "outage_s": float((self.times["until"] - self.times["begin"]).sum()) / 1e9,
            "requests": self.requests,
            "kept_share": min(self.kept, 1.0),
            "kept_share_limit": self.limits.kept_share,
            "bad_mean_ms": float(ns[self.bad].mean()) / _MS,
            "healthy_p50_ms": self.usual.get("p50_ms"),
            "healthy_p99_ms": self.usual.get("p99_ms"),
            "healthy_error_rate": self.usual.get("error_rate"),
        }

    def _advice(self, evidence: dict[str, Any]) -> str:
        caller, callee = self.edge["caller"], self.edge["callee"]
        limits = self.limits
        opens = breaker(self.usual, calls=limits.calls, slow_share=limits.bad_share, slow_times=limits.slow_times)
        return (
            f"Put a circuit breaker around {caller}->{callee} that opens {opens}, and let {caller} answer"
            f" without {callee} while it is open. Without one, {caller} waited"
            f" {format_ms(evidence['bad_mean_ms'])} for each of these calls."
        )


def _network(errors: pl.Series) -> Array:
    """Tell which types of errors the network gives, or an answer with a status."""
    text = errors.cast(pl.String).str.to_lowercase()
    by_name = text.str.contains_any(list(_REFUSED)) | text.str.contains(r"^\d+$")
    flags: Array = by_name.fill_null(value=False).to_numpy()
    return flags


def _within(values: Array, begins: Array, ends: Array) -> Flags:
    """Tell which values lie in one of these ranges, which are sorted, do not overlap and do not hold their ends."""
    place = np.searchsorted(begins, values, side="right") - 1
    flags: Flags = (place >= 0) & (values < ends[np.maximum(place, 0)])
    return flags


RULE = Rule(NAME, Limits, find, (requisites.traces, requisites.calls, requisites.times))
