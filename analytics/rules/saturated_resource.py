"""``saturated-resource``: a processor, a pool or another resource of a service that is full, so that requests wait."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.findings import Finding, Rule, unknown_finding
from analytics.load import MINUTE_NS
from analytics.metric_aliases import METRIC_ALIASES
from analytics.rules import requisites
from analytics.rules.traces import slowest
from analytics.saturation import CRITICAL, WARNING
from analytics.words import counted, listed, percent

if TYPE_CHECKING:
    from analytics.arrays import Array
    from analytics.findings import Severity, Subject

    Row = dict[str, Any]

NAME = "saturated-resource"
_SEND = (
    "process.cpu.utilization, db.client.connection.count with .max and .pending_requests, and what else the runtime "
    "tells of its threads and memory"
)
_WHO = ["namespace", "service"]
_UNIT = [*_WHO, "resource", "instance", "part"]
_COUNTS = "db.client.connection.count with .max, or your server's count of busy threads with its limit,"
_MS = 1e6
_SLOTS = {"db_pool": "connections", "threads": "threads"}
"""Resources whose level counts things, each of which serves one request at a time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``warning`` and ``critical`` are utilisations of a minute, ``minutes`` how many must be as full.

    ``target`` is the utilisation that the advice plans for.
    """

    warning: float = WARNING
    critical: float = CRITICAL
    minutes: int = 2
    target: float = 0.7


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each resource of a service that is full, the fullest first."""
    units = _units(subject.minutes, limits)
    groups = units.partition_by(*_WHO, "resource", maintain_order=True)
    silent = _silent(subject, units)
    resources = [_Resource(subject, group, limits, len(silent)) for group in groups]
    full = [resource for resource in resources if len(resource.minutes) >= limits.minutes]
    if full:
        found = [resource.finding(_behind(subject, resource, full)) for resource in full]
        return sorted(found, key=lambda finding: -finding.score)
    short = [resource for resource in resources if len(resource.minutes)]
    if short:
        return [short[0].unknown()]
    if not silent:
        return []
    missing = f"no metrics tell how full the resources of {listed(silent, most=4)} are: send {_SEND}"
    return [unknown_finding(NAME, missing, services_without_metrics=len(silent))]


def _units(minutes: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """Return one row an instance, part of a resource, and minute, whose ``utilisation`` is known.

    ``level``, ``slots`` and ``metric`` are of its fullest metric, ``waiting`` is of its metrics of queues. ``full``:
    the utilisation is at the limit, or half of that and as many wait as there are slots, or any do when nobody tells of
    slots.
    """
    queues, counters = ([name for name, a in METRIC_ALIASES.items() if a.reading == how] for how in ("pending", "used"))
    counts = pl.col("metric").is_in(counters) & pl.col("resource").is_in(list(_SLOTS)) & (pl.col("utilisation") > 0)
    rows = minutes.drop_nulls("utilisation").with_columns(
        waits=pl.col("metric").is_in(queues), slots=pl.when(counts).then(pl.col("level") / pl.col("utilisation"))
    )
    rows = rows.with_columns(pl.col("slots").median().over(*_UNIT, "metric"))
    # What waits comes last: it tells of utilisation only where nothing else does.
    ordered = rows.sort("waits", "utilisation", descending=[False, True], maintain_order=True)
    units = ordered.group_by(*_UNIT, "minute", maintain_order=True).agg(
        pl.col("metric", "utilisation", "level", "slots", "waits").first(),
        waiting=pl.col("level").filter("waits").max().fill_null(0.0),
    )
    half = pl.col("utilisation") >= limits.warning / 2  # a burst in a quiet minute is none
    queue = half & (pl.col("waiting") > 0) & (pl.col("waiting") >= pl.col("slots")).fill_null(value=False)
    full = (pl.col("utilisation") >= limits.warning) | queue
    return units.with_columns(full=full, queue=queue).sort(*_UNIT, "minute", nulls_last=True)


def _silent(subject: Subject, units: pl.DataFrame) -> list[str]:
    """Return the services with requests of which no utilisation is known."""
    forest = subject.analysed.forest
    asked = np.unique(forest.service[subject.analysed.graph.entries])
    services = forest.origins.services.filter(pl.col("service_code").is_in(pl.Series(asked).implode()))
    return services.join(units.select(_WHO).unique(), on=_WHO, how="anti", nulls_equal=True)["service"].to_list()


def _behind(subject: Subject, resource: _Resource, full: list[_Resource]) -> str:
    """Return what holds a full resource's slots, when that is full itself: a processor, or a service that is called.

    Empty for what is not made of slots, and where nothing else is full.
    """
    if resource.resource not in _SLOTS:
        return ""
    sync = (pl.col("caller") == resource.service) & (pl.col("mode") == "sync") & (pl.col("callee") != resource.service)
    callees = subject.analysed.edges.filter(sync)["callee"].to_list()
    own = [other for other in full if other.service == resource.service and other.resource not in _SLOTS]
    below = [other for other in full if other.service in callees]
    return next((f"{other.name()} of {other.service}" for other in (*own, *below)), "")


class _Resource:
    """A resource of one service: when it was full, how full, and what it would need."""

    def __init__(self, subject: Subject, units: pl.DataFrame, limits: Limits, silent: int) -> None:
        self.subject, self.units, self.limits, self.silent = subject, units, limits, silent
        self.service, self.resource = str(units["service"][0]), str(units["resource"][0])
        self.full = units.filter("full")
        self.minutes = self.full["minute"].unique().sort().to_numpy()

    def finding(self, behind: str = "") -> Finding:
        """Return what is said of it; ``behind`` is full too, and holds its slots."""
        worst, busy = self._worst(), self._entries(full=True)
        most = float(self.full["utilisation"].to_numpy().max())
        need, rate = self._need(worst), self._rate(busy)
        score = most * (0.5 + 0.5 * len(self.minutes) / self.units["minute"].n_unique())
        return Finding(
            NAME,
            "warning" if behind else self._severity(),
            score=min(score / 2 if behind else score, 1.0),
            title=self._title(worst, most),
            services=(self.service,),
            edges=self._database_edges(),
            evidence=self._evidence(most)
            | need
            | self._times(busy)
            | {"requests_a_second": rate}
            | self._source(worst, behind),
            trace_ids=slowest(self.subject, self.subject.analysed.forest.trace[busy]),
            advice=self._slots_advice(need, worst, behind) if "slots" in need else self._share_advice(need, worst),
        )

    def unknown(self) -> Finding:
        """Return what is said of a resource that was full for less than the limit."""
        minutes = f"{len(self.minutes):,} of {counted(self.units['minute'].n_unique(), 'minute')}"
        missing = f"{self.name()} of {self.service} was full in {minutes}, {self.limits.minutes} are more than a burst"
        evidence = {"full_minutes": len(self.minutes), "full_minutes_limit": self.limits.minutes}
        return unknown_finding(NAME, missing, service=self.service, **evidence)

    def name(self) -> str:
        """Return it in words."""
        return self.resource.replace("_", " ")

    def _severity(self) -> Severity:
        worst = self.full.filter((pl.col("utilisation") >= self.limits.critical) | pl.col("queue"))
        return "critical" if worst["minute"].n_unique() >= self.limits.minutes else "warning"

    def _worst(self) -> Row:
        """Return the instance and part that was full for longest, with the most of its full minutes."""
        by_unit = self.full.group_by("instance", "part", maintain_order=True).agg(
            *(pl.len(), pl.col("utilisation", "level", "waiting", "slots").max()),
            pl.col("metric", "waits").first(),
        )
        return by_unit.sort("len", "utilisation", "waiting", descending=True, maintain_order=True).row(0, named=True)

    def _title(self, worst: Row, most: float) -> str:
        where = f" on {worst['instance']}" if worst["instance"] else ""
        queue = f", and up to {counted(round(worst['waiting']), 'request')} waited for it" if worst["waiting"] else ""
        minutes = f"{len(self.minutes):,} of {counted(self.units['minute'].n_unique(), 'minute')}"
        used = "had a queue" if worst["waits"] else f"was {percent(most)} used"
        return f"{self.name()} of {self.service} {used}{where}, full in {minutes}{queue}"

    def _evidence(self, most: float) -> Row:
        return {
            "utilisation_share": most,
            "utilisation_limit_share": self.limits.warning,
            "full_minutes": len(self.minutes),
            "full_minutes_limit": self.limits.minutes,
        }

    def _source(self, worst: Row, behind: str) -> Row:
        return {
            "behind": behind or None,
            "minutes": self.units["minute"].n_unique(),
            "critical_limit_share": self.limits.critical,
            "resource": self.resource,
            "metric": worst["metric"],
            "instance": worst["instance"],
            "services_without_metrics": self.silent,
        }

    def _entries(self, *, full: bool) -> Array:
        """Return the service's requests that began in minutes when the resource was full, or in the others."""
        forest, entries = self.subject.analysed.forest, self.subject.analysed.graph.entries
        named = pl.col("service").eq(self.service) & pl.col("namespace").eq_missing(pl.lit(self.units["namespace"][0]))
        codes = forest.origins.services.filter(named)["service_code"].to_numpy()
        rows = np.flatnonzero(entries & np.isin(forest.service, codes))
        chosen: Array = rows[np.isin(forest.start[rows] // MINUTE_NS, self.minutes) == full]
        return chosen

    def _rate(self, rows: Array) -> float | None:
        analysed = self.subject.analysed
        return float(analysed.weights[analysed.forest.trace[rows]].sum()) / (60 * len(self.minutes)) or None

    def _times(self, busy: Array) -> Row:
        """Return how long requests took meanwhile, and in other minutes."""
        duration, calm = self.subject.analysed.forest.duration, self._entries(full=False)
        return {
            name: float(np.median(duration[rows])) / _MS if len(rows) else None
            for name, rows in (("p50_ms", busy), ("p50_otherwise_ms", calm))
        }

    def _need(self, worst: Row) -> Row:
        """Return how many slots of the worst instance, or how many instances, would bring it down to the target."""
        here = self.units.filter(pl.col("minute").is_in(pl.Series(self.minutes).implode()))
        means = here.group_by("instance").agg(pl.col("utilisation").mean())["utilisation"]
        instances, target = len(means), self.limits.target
        if worst["slots"]:
            slots = max(round(worst["slots"]), 1)
            # A full pool hides how many are wanted, but for those that wait.
            wanted = slots + worst["waiting"] if worst["utilisation"] >= self.limits.critical else 0
            more = max(ceil(worst["level"] / target), ceil(wanted), slots + 1)
            return {"waiting": worst["waiting"], "slots": slots, "needed_slots": more, "instances": instances}
        mean = float(means.to_numpy().mean())
        needed = {"instances": instances, "needed_instances": ceil(instances * mean / target), "mean_share": mean}
        return {"waiting": worst["waiting"]} if worst["waits"] else needed

    def _database_edges(self) -> tuple[str, ...]:
        edges = self.subject.analysed.edges.filter(pl.col("caller") == self.service)
        asked = edges.filter((pl.col("callee_type") == "database") & (self.resource == "db_pool"))
        return tuple(f"{caller}->{callee}" for caller, callee in asked.select("caller", "callee").rows())

    def _slots_advice(self, need: Row, worst: Row, behind: str) -> str:
        """Say how many more slots serve all at once, by T = N·R/L, and what shortens L."""
        things, slots, more = _SLOTS[self.resource], need["slots"], need["needed_slots"]
        waiting = f" while up to {worst['waiting']:,.0f} waited for one" if worst["waiting"] else ""
        edges = self.subject.analysed.edges.filter((pl.col("caller") == self.service) & (pl.col("mode") == "sync"))
        callees = (
            edges.filter(pl.col("callee_type") == "service").sort("client_ns", descending=True)["callee"].to_list()
        )
        shorter = f", above all not while it waits for {callees[0]}" if callees else ""
        first = f"Relieve {behind} first, which is full too and keeps them busy; then g" if behind else "G"
        bear = f"; {listed(self._databases(), most=2)} must bear them" if self.resource == "db_pool" else ""
        return (
            f"{first}ive {worst['instance'] or self.service} {more} {things} instead of {slots} "
            f"({more - slots} more{bear}), or run {ceil(more / slots)} instances where one runs now: of {slots}, "
            f"{worst['level']:,.1f} were in use{waiting}. By T = N·R/L it helps as much when a request of "
            f"{self.service} keeps one for less time{shorter}."
        )

    def _databases(self) -> list[str]:
        return [edge.split("->", 1)[1] for edge in self._database_edges()] or ["the database"]

    def _share_advice(self, need: Row, worst: Row) -> str:
        """Say how many instances, or how much more of each, bring the mean down to the target."""
        if worst["waits"]:
            return (
                f"Give {self.service} places for {worst['waiting']:,.0f} more requests at once: that many waited for "
                f"{self.name()}. Send {_COUNTS} as well, to see of how many."
            )
        instances, needed, mean = need["instances"], need["needed_instances"], need["mean_share"]
        if needed <= instances:
            return (
                f"Balance {self.service}: {worst['instance']} is full while its {instances} instances are used to "
                f"{percent(mean)} on average; evenly spread, their {self.name()} is enough."
            )
        if self.resource == "memory":
            return (
                f"Give each instance of {self.service} {percent(mean / self.limits.target - 1)} more memory, or find "
                f"what fills it: more instances help only as far as each then holds less."
            )
        least = "at least " if mean >= self.limits.critical else ""  # a full resource hides how much is wanted
        return (
            f"Run {least}{needed} instances of {self.service} instead of {instances}, if it keeps nothing between "
            f"requests: {percent(mean)} of {instances} are {percent(instances * mean / needed)} of {needed}. Half the "
            "work for each request does as much as twice the instances (T = N·R/L)."
        )


RULE = Rule(NAME, Limits, find, (requisites.any_trace,))
