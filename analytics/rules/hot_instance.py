"""``hot-instance``: one instance of a service that carries far more load, or is far slower, than the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from analytics.findings import Finding, Rule, unknown_finding
from analytics.load import ENOUGH_REQUESTS, HOT_RATIO, hot_instances, instance_codes
from analytics.rules import requisites
from analytics.rules.traces import slowest
from analytics.words import listed, percent

if TYPE_CHECKING:
    from analytics.analysis import Analysed
    from analytics.findings import Subject

    Row = dict[str, Any]

NAME = "hot-instance"
_MOST_INSTANCES = 3
"""Of one service that are told of, the hottest."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``ratio`` is that of requests a second, or of times, to the median of the other instances.

    Instances have ``requests`` each. From ``critical_ratio`` on it is critical.
    """

    ratio: float = HOT_RATIO
    critical_ratio: float = 4.0
    requests: int = ENOUGH_REQUESTS


def find(subject: Subject, limits: Limits) -> list[Finding]:
    """Return a finding for each service with hot instances, the hottest first."""
    analysed = subject.analysed
    resources = resources_of(analysed)
    judged = hot_instances(
        analysed.graph, resources, analysed.weights, enough=limits.requests, ratio=limits.ratio
    ).with_columns(times=pl.max_horizontal("load_ratio", "latency_ratio"))
    hot = judged.filter("hot").sort("times", "instance", descending=[True, False], nulls_last=True)
    groups = hot.partition_by("service_code", maintain_order=True)
    if groups:
        of_service = [judged.filter(pl.col("service_code") == group["service_code"][0]) for group in groups]
        return [_finding(subject, *pair, limits) for pair in zip(groups, of_service, strict=True)]
    return _unknown(analysed, resources, judged, limits)


def resources_of(analysed: Analysed) -> pl.DataFrame:
    """Return ``resource`` and ``instance`` of RESOURCES, as far as spans name them."""
    instances = analysed.forest.origins.instances
    return pl.DataFrame({"resource": pl.int_range(len(instances), eager=True, dtype=pl.Int32), "instance": instances})


def _unknown(analysed: Analysed, resources: pl.DataFrame, judged: pl.DataFrame, limits: Limits) -> list[Finding]:
    """Say what is missing where no service has two instances that can be compared."""
    if judged["hot"].drop_nulls().len():
        return []
    if judged.height:
        most = int(judged["requests"].to_numpy().max())
        missing = (
            f"no two instances of a service that served at the same time have {limits.requests} requests each "
            f"({judged.height} instances, the busiest has {most:,})"
        )
        return [unknown_finding(NAME, missing, requests=most, requests_limit=limits.requests)]
    unit, units = instance_codes(analysed.forest, resources)
    nameless = units.with_row_index("unit").filter(pl.col("instance").is_null())
    asked = np.unique(unit[analysed.graph.entries])
    services = nameless.filter(pl.col("unit").is_in(pl.Series(asked, dtype=pl.UInt32).implode())).join(
        analysed.forest.origins.services, on="service_code"
    )
    names = services["service"].sort().to_list()
    missing = f"{listed(names, most=4)} do not tell their instances apart: set service.instance.id"
    return [unknown_finding(NAME, missing, services_without_instances=len(names))] if names else []


def _finding(subject: Subject, hot: pl.DataFrame, all_of: pl.DataFrame, limits: Limits) -> Finding:
    worst, forest = hot.row(0, named=True), subject.analysed.forest
    service = str(forest.origins.services["service"][worst["service_code"]])
    by_load = (worst["load_ratio"] or 0.0) >= limits.ratio
    edges = subject.analysed.edges.filter((pl.col("callee_node") == worst["service_code"]) & (pl.col("mode") == "sync"))
    edges = edges.filter(pl.col("caller_type") == "service").sort("calls", descending=True)
    return Finding(
        NAME,
        "critical" if worst["times"] >= limits.critical_ratio else "warning",
        score=1 - 1 / max(worst["times"], 1.0),
        title=_title(service, worst, hot, by_load=by_load),
        services=(service,),
        edges=tuple(f"{caller}->{callee}" for caller, callee in edges.select("caller", "callee").rows()),
        evidence=_evidence(worst, hot, all_of, limits),
        trace_ids=slowest(subject, _traces(subject, worst)),
        advice=_load_advice(service, worst, edges) if by_load else _latency_advice(subject, service, worst),
    )


def _title(service: str, worst: Row, hot: pl.DataFrame, *, by_load: bool) -> str:
    instances = hot["instance"].fill_null("the nameless one").to_list()
    others = f" (and {listed(instances[1:], most=_MOST_INSTANCES - 1)})" if len(instances) > 1 else ""
    if by_load:
        share, even = percent(worst["load_share"]), percent(1 / worst["instances"])
        said = f"gets {worst['load_ratio']:.1f} times the requests of its peers, {share} instead of {even}"
    else:
        said = f"takes {worst['latency_ratio']:.1f} times as long as its peers"
    return f"{instances[0]} of {service}{others} {said}"


def _evidence(worst: Row, hot: pl.DataFrame, all_of: pl.DataFrame, limits: Limits) -> Row:
    peers = all_of.filter(pl.col("instance").ne_missing(worst["instance"]) & pl.col("hot").is_not_null())
    return {
        "load_ratio": worst["load_ratio"],
        "latency_ratio": worst["latency_ratio"],
        "ratio_limit": limits.ratio,
        "load_share": worst["load_share"],
        "p50_ms": worst["p50_ms"],
        "peers_p50_ms": float(np.median(peers["p50_ms"].to_numpy())) if peers.height else None,
        "requests": worst["requests"],
        "requests_limit": limits.requests,
        "instances": worst["instances"],
        "hot_instances": hot.height,
        "critical_ratio_limit": limits.critical_ratio,
        "instance": worst["instance"],
    }


def _traces(subject: Subject, worst: Row) -> Any:
    """Return the traces that the instance served."""
    analysed = subject.analysed
    unit, units = instance_codes(analysed.forest, resources_of(analysed))
    same = (pl.col("service_code") == worst["service_code"]) & pl.col("instance").eq_missing(pl.lit(worst["instance"]))
    number = units.with_row_index("unit").filter(same)["unit"][0]
    return analysed.forest.trace[(unit == number) & analysed.graph.entries]


def _load_advice(service: str, worst: Row, edges: pl.DataFrame) -> str:
    """Say how requests should spread, and what usually keeps them from it."""
    spare = 1 - 1 / (worst["instances"] * worst["load_share"]) if worst["load_share"] else 0.0
    callers = edges["caller"].to_list()
    grpc = edges.filter(pl.col("protocol") == "grpc")["caller"].to_list()
    whose = f"requests of {listed(callers, most=3)}" if callers else "requests"
    cause = (
        f"{listed(grpc, most=3)} call it by gRPC, whose connections stay with one instance: balance each call, not "
        "each connection"
        if grpc
        else "look for sticky sessions, one hash key for most requests, or connections that are opened once"
    )
    return (
        f"Spread the {whose} to {service} evenly over its {worst['instances']} instances, which takes "
        f"{percent(max(spare, 0.0))} of its load from {worst['instance']}, before more instances are started: {cause}. "
        f"If {service} keeps sessions in memory, move them to a store that all instances share."
    )


def _latency_advice(subject: Subject, service: str, worst: Row) -> str:
    """Say what to compare, with the instance's fullest resource when metrics tell of one."""
    use = subject.resources.filter((pl.col("service") == service) & (pl.col("instance") == worst["instance"]))
    known = use.drop_nulls("max").head(1)
    full = f" (its {known['resource'][0]} is used to {percent(known['max'][0])} at most)" if known.height else ""
    return (
        f"Take {worst['instance']} out of {service} and start another in its place, if it keeps nothing between "
        f"requests; its load is like its peers'. Compare its host, version and neighbours with theirs{full}, and let "
        "the load balancer look at latency so that a slow instance gets less."
    )


RULE = Rule(NAME, Limits, find, (requisites.traces, requisites.times))
