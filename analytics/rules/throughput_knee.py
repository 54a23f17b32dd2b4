"""``throughput-knee``: a load from which a service's slowest requests get much slower."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.capacity import find_knee, fit_scalability
from analytics.findings import Finding, Rule, unknown_finding
from analytics.load_points import load_points
from analytics.quantiles import ENOUGH_FOR_P99
from analytics.rules import requisites
from analytics.rules.hot_instance import resources_of
from analytics.rules.traces import slowest
from analytics.words import counted, listed, percent

if TYPE_CHECKING:
    from analytics.arrays import Array
    from analytics.capacity import Knee, Scalability
    from analytics.findings import Subject

    Row = dict[str, Any]

NAME = "throughput-knee"
_CONTENDED = 0.2
"""Of the law's sigma: five instances' worth of work at most, however many there are (Amdahl's law)."""
_SECOND = 1e9


@dataclass(frozen=True, slots=True)
class Limits:
    """``rise`` is how many times p99 is above the knee what it is below; windows have ``requests`` each.

    It is critical when ``critical_share`` of the windows lie above the knee. ``target`` is the share of the knee's load
    that the advice plans for.
    """

    rise: float = 1.5
    requests: int = ENOUGH_FOR_P99
    critical_share: float = 0.25
    target: float = 0.8


@dataclass(frozen=True, slots=True)
class _Judged:
    """A service's load points and what they say."""

    code: int
    name: str
    points: pl.DataFrame
    knee: Knee

    @property
    def above(self) -> pl.DataFrame:
        """The points above the knee's load."""
        return self.points.filter(pl.col("rate") > self.load)

    @property
    def load(self) -> float:
        """Requests a second and instance at the knee."""
        return self.knee.load.value if self.knee.load else float("inf")

    @property
    def rise(self) -> float:
        """How many times p99 is above the knee what it is below, medians of windows."""
        below = self.points.filter(pl.col("rate") <= self.load)["p99_ms"].to_numpy()
        above = self.above["p99_ms"].to_numpy()
        return float(np.median(above) / np.median(below)) if len(above) and np.median(below) > 0 else 0.0


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each service with a knee that none of those it waits for has, the steepest first."""
    analysed = subject.analysed
    points = load_points(analysed.graph, resources_of(analysed), analysed.weights, enough=limits.requests)
    judged = [_judge(subject, points, code) for code in np.unique(analysed.forest.service[analysed.graph.entries])]
    bent = [service for service in judged if service.knee.reason is None and service.rise >= limits.rise]
    if bent:
        found = [_finding(subject, service, callers, limits) for service, callers in _deepest(subject, bent)]
        return sorted(found, key=lambda finding: -finding.score)
    lacking = [service for service in judged if service.knee.reason is not None and not service.knee.absent]
    if not lacking:
        return []
    first = max(lacking, key=lambda service: (service.knee.levels, service.points.height, service.name))
    missing = f"{counted(len(lacking), 'service')} cannot be judged; {first.name} lacks least: {first.knee.reason}"
    evidence = {"levels": first.knee.levels, "windows": first.points.height, "requests_limit": limits.requests}
    return [unknown_finding(NAME, missing, services_unknown=len(lacking), **evidence)]


def _judge(subject: Subject, points: pl.DataFrame, code: int) -> _Judged:
    mine = points.filter(pl.col("service_code") == code)
    name = str(subject.analysed.forest.origins.services["service"][int(code)])
    return _Judged(int(code), name, mine, find_knee(mine["rate"].to_numpy(), mine["p99_ms"].to_numpy()))


def _deepest(subject: Subject, bent: list[_Judged]) -> list[tuple[_Judged, list[str]]]:
    """Return the services that wait for none of the others, each with those that bend since they wait for it."""
    edges = subject.analysed.edges.filter((pl.col("mode") == "sync") & (pl.col("caller_node") != pl.col("callee_node")))
    codes = {service.code for service in bent}
    waits = {(a, b) for a, b in edges.select("caller_node", "callee_node").rows() if a in codes and b in codes}
    names = {service.code: service.name for service in bent}
    deepest = [service for service in bent if not any(a == service.code for a, _ in waits)]
    if not deepest:  # they wait for each other in a circle
        deepest = [max(bent, key=lambda service: service.rise)]
    found = []
    for service in deepest:
        above, front = {service.code}, {service.code}
        while front := {a for a, b in waits if b in front} - above:
            above |= front
        found.append((service, [names[code] for code in sorted(above - {service.code})]))
    return found


def _finding(subject: Subject, service: _Judged, callers: list[str], limits: Limits) -> Finding:
    points, above = service.points, service.above
    law = fit_scalability(points["concurrency"].to_numpy(), points["rate"].to_numpy())
    share = above.height / points.height
    also = f", and with it {listed(callers, most=3)}," if callers else ""
    below_ms = float(np.median(points.filter(pl.col("rate") <= service.load)["p99_ms"].to_numpy()))
    above_ms = float(np.median(above["p99_ms"].to_numpy()))
    return Finding(
        NAME,
        "critical" if share >= limits.critical_share else "warning",
        score=1 - 1 / max(service.rise, 1.0),
        title=f"{service.name}{also} gets slow from {service.load:,.1f} requests a second and instance on: p99 is "
        f"{below_ms:,.0f} ms below and {above_ms:,.0f} ms above",
        services=(service.name, *callers),
        edges=_edges(subject, service),
        evidence={
            "knee_load": service.load,
            "p99_below_ms": below_ms,
            "p99_above_ms": above_ms,
            "rise": service.rise,
            "rise_limit": limits.rise,
            "windows_above_share": share,
            "critical_limit_share": limits.critical_share,
            **_capacity(service, law, limits),
        },
        trace_ids=slowest(subject, _traces(subject, service)),
        advice=_advice(subject, service, law, limits),
    )


def _edges(subject: Subject, service: _Judged) -> tuple[str, ...]:
    """Return the edges by which the load comes."""
    edges = subject.analysed.edges.filter((pl.col("callee_node") == service.code) & (pl.col("mode") == "sync"))
    called = edges.filter(pl.col("caller_type") == "service").sort("calls", descending=True)
    return tuple(f"{caller}->{callee}" for caller, callee in called.select("caller", "callee").rows())


def _capacity(service: _Judged, law: Scalability, limits: Limits) -> Row:
    """Return what the knee means for how many instances are needed, and what the scalability law says."""
    busiest, instances = _busiest(service)
    knee = service.knee
    return {
        "greatest_load": busiest,
        "instances": instances,
        "needed_instances": _needed(service, limits),
        "agreement_share": knee.agreement,
        "levels": knee.levels,
        "windows": service.points.height,
        "window_s": float(service.points["width_s"][0]),
        "contention": law.contention.value if law.contention else None,
        "crosstalk": law.crosstalk.value if law.crosstalk else None,
        "peak_at_once": law.peak.value if law.peak else None,
        "law_unknown": law.reason,
    }


def _busiest(service: _Judged) -> tuple[float, int]:
    """Return the greatest load of the service, all its instances together, and how many these were."""
    total = service.points.with_columns(total=pl.col("rate") * pl.col("instances")).sort("total").tail(1)
    return float(total["total"][0]), int(total["instances"][0])


def _needed(service: _Judged, limits: Limits) -> int:
    busiest, instances = _busiest(service)
    return max(ceil(busiest / (limits.target * service.load)), instances + 1)


def _traces(subject: Subject, service: _Judged) -> Array:
    """Return the traces that the service served in windows above the knee."""
    analysed, above = subject.analysed, service.above
    rows = np.flatnonzero(analysed.graph.entries & (analysed.forest.service == service.code))
    begin = above["window_unix_nano"].sort().to_numpy()
    place = np.searchsorted(begin, analysed.forest.start[rows], side="right") - 1
    width = float(service.points["width_s"][0]) * _SECOND
    inside = (place >= 0) & (analysed.forest.start[rows] < begin[np.maximum(place, 0)] + width)
    traces: Array = analysed.forest.trace[rows[inside]]
    return traces


def _advice(subject: Subject, service: _Judged, law: Scalability, limits: Limits) -> str:
    """Say how many instances keep clear of the knee, and what bounds each of them."""
    (busiest, instances), needed, name = _busiest(service), _needed(service, limits), service.name
    share = percent(busiest / needed / service.load)
    said = [f"Run {needed} instances of {name} instead of {instances}, if it keeps nothing between requests:"]
    said.append(f"then {busiest:,.1f} requests a second are {share} of the knee's load.")
    most = float(service.points["concurrency"].to_numpy().max())
    if law.peak and law.peak.high is not None and law.peak.high <= most:
        peak = max(round(law.peak.value), 1)
        said.append(f"Let each work on {peak} at once at most (threads, pool): beyond that its throughput falls.")
    return " ".join([*said, *_bound(subject, service, law)])


def _bound(subject: Subject, service: _Judged, law: Scalability) -> list[str]:
    """Say what bounds an instance, as far as metrics, the scalability law or the calls tell."""
    use = subject.saturation.filter((pl.col("service") == service.name) & (pl.col("severity") > "info"))
    if use.height:
        return [f"Its fullest resource is at {percent(use['saturation'][0])}: {use['saturation_source'][0]}."]
    if law.contention and law.contention.value >= _CONTENDED:
        share = percent(law.contention.value)
        return [f"{share} of its work is done one at a time: find what it waits for, a lock or what instances share."]
    callees = listed(_databases(subject, service), most=2)
    return (
        [f"See first whether it waits for {callees}: more instances would press that more."]
        if callees != "none"
        else []
    )


def _databases(subject: Subject, service: _Judged) -> list[str]:
    edges = subject.analysed.edges.filter(pl.col("caller_node") == service.code)
    return edges.filter(pl.col("callee_type") == "database").sort("client_ns", descending=True)["callee"].to_list()


RULE = Rule(NAME, Limits, find, (requisites.traces, requisites.times))
