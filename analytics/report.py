"""The report: what the contract's JSON object says, from what was analysed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.headline import headline, verdict, worst_endpoint
from analytics.judgement import Judgement
from analytics.narrowing import in_order, of_endpoint
from collector.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.figures import Figures

_SERVICE = (
    *("name", "type", "namespace", "calls", "error_rate", "p50_ms", "p95_ms", "p99_ms", "p99_known", "self_time_ms"),
    *("critical_path_ms", "critical_path_share", "tail_critical_path_share", "tail_excess_ms", "blast_radius"),
    *("fan_in", "fan_out", "instability", "concurrency", "saturation", "saturation_source"),
)
_EDGE = (
    *("caller", "callee", "callee_type", "mode", "protocol", "calls", "calls_per_trace", "error_rate", "p99_ms"),
    *("p99_known", "gap_ms", "critical_path_share", "failure_propagation", "base_rate", "retry_amplification"),
)
_ENDPOINT = (
    *("service", "operation", "traces", "error_rate", "mean_ms", "p50_ms", "p95_ms", "p99_ms", "p99_known"),
    *("tail_known", "tail_excess_ms"),
)
_CONTRIBUTION = ("critical_path_ms", "share", "middle_share", "tail_share", "excess_ms")


def build_report(
    figures: Figures,
    saturation: pl.DataFrame,
    environments: Sequence[str] = (),
    environment: str = "",
    judgement: Judgement | None = None,
    endpoint: str | None = None,
) -> dict[str, Any]:
    """Return the contract's ``report`` object of the figures, the SATURATION and the judgement of one environment.

    ``environments`` are all that there are. Services, edges and endpoints come with what takes most time first. Of one
    severity the findings come first that touch the endpoint that is asked for or stands out; ``headline`` says which
    does and why, else how coupled the services are, null where neither is known. With an ``endpoint`` ("SERVICE
    OPERATION") it is about that alone, and ``findings_elsewhere`` counts what is left out; raises
    ``ConfigurationError`` for one that no trace has.
    """
    judgement = judgement or Judgement()
    nodes = _node_shares(figures)
    services, every = _services(figures, nodes, saturation), _endpoints(figures)
    endpoints = every if endpoint is None else _only(every, endpoint)
    edges, worst = _edges(figures, nodes), worst_endpoint(endpoints, services)
    coupled = verdict(judgement.index, services, edges) if endpoint is None else None
    report = {
        "headline": headline(worst, services, judgement.findings) if worst else coupled,
        "environment": environment,
        "environments": list(environments),
        "endpoint": endpoint,
        "window": figures.window,
        "coupling_index": judgement.index,
        "services": services,
        "edges": edges,
        "endpoints": endpoints,
        "findings": in_order(judgement.findings, worst if endpoint is None else endpoints[0]),
        "findings_elsewhere": 0,
        "judged_on": judgement.based_on,
    }
    if endpoint is None:
        return report
    return of_endpoint(report, figures.touched(endpoints[0]["service"], endpoints[0]["operation"]))


def _endpoints(figures: Figures) -> list[dict[str, Any]]:
    profile = figures.profile
    nodes = figures.path_nodes.select("node", "kind", "type", "name")
    parts = profile.contributions.join(nodes, on="node", maintain_order="left").partition_by("endpoint", as_dict=True)
    ordered = profile.endpoints.sort(pl.col("mean_ms") * pl.col("weight"), descending=True)
    none = profile.contributions.clear()
    return [_endpoint(row, parts.get((row["endpoint"],), none)) for row in ordered.iter_rows(named=True)]


def _endpoint(row: dict[str, Any], contributions: pl.DataFrame) -> dict[str, Any]:
    return {name: row[name] for name in _ENDPOINT} | {
        "contributions": [
            {"node": part["name"], "kind": part["kind"], "type": part["type"]}
            | {key: part[key] for key in _CONTRIBUTION}
            for part in contributions.iter_rows(named=True)
        ]
    }


def _only(endpoints: list[dict[str, Any]], wanted: str) -> list[dict[str, Any]]:
    found = [endpoint for endpoint in endpoints if f"{endpoint['service']} {endpoint['operation']}" == wanted]
    if not found:
        known = ", ".join(f'"{endpoint["service"]} {endpoint["operation"]}"' for endpoint in endpoints) or "none"
        raise ConfigurationError(f"There is no endpoint {wanted!r}: give one of {known} with --endpoint.")
    return found


def _node_shares(figures: Figures) -> pl.DataFrame:
    """NODES with their critical-path time over all endpoints, each weighted by its traffic, the tail by its tail's.

    The tail is the traces at or above p95 of their own endpoint: a mix of endpoints has no tail that means anything.
    """
    endpoints = figures.profile.endpoints.select("endpoint", "weight", "mean_ms", "tail_mean_ms", tail="tail_weight")
    total = endpoints.select(
        weight=pl.col("weight").sum(),
        tail=pl.col("tail").sum(),
        ms=(pl.col("mean_ms") * pl.col("weight")).sum(),
        tail_ms=(pl.col("tail_mean_ms") * pl.col("tail")).sum(),
    ).row(0, named=True)
    sums = figures.profile.contributions.join(endpoints, on="endpoint").group_by("node").agg(
        ms=(pl.col("critical_path_ms") * pl.col("weight")).sum(),
        tail_ms=(pl.col("tail_ms") * pl.col("tail")).sum(),
        excess_ms=(pl.col("excess_ms") * pl.col("tail")).sum(),
    )  # fmt: skip
    return figures.path_nodes.join(sums, on="node").with_columns(
        critical_path_ms=pl.col("ms") / total["weight"],
        critical_path_share=_part("ms", total["ms"]),
        tail_critical_path_share=_part("tail_ms", total["tail_ms"]),
        tail_excess_ms=pl.col("excess_ms") / total["tail"],
    )


def _part(column: str, whole: float) -> pl.Expr:
    return pl.col(column) / whole if whole else pl.lit(0.0)


def _services(figures: Figures, nodes: pl.DataFrame, saturation: pl.DataFrame) -> list[dict[str, Any]]:
    shares = nodes.filter(pl.col("kind") == "service").select(
        "type", "namespace", "name", *(name for name in _SERVICE if name in nodes.columns[8:])
    )
    rows = (
        figures.nodes.cast({"type": pl.String})
        .join(shares.cast({"type": pl.String}), on=["type", "namespace", "name"], how="left", nulls_equal=True)
        .join(_of_services(saturation), on=["type", "namespace", "name"], how="left", nulls_equal=True)
        .with_columns(pl.col("^.*critical_path.*$").fill_null(0.0))
        .sort("critical_path_ms", "name", descending=[True, False])
    )
    return rows.select(_SERVICE).to_dicts()


def _of_services(saturation: pl.DataFrame) -> pl.DataFrame:
    figures = ("namespace", "saturation", "saturation_source")
    return saturation.select(*figures, pl.col("service").alias("name"), pl.lit("service").alias("type"))


def _edges(figures: Figures, nodes: pl.DataFrame) -> list[dict[str, Any]]:
    shares = (
        nodes.filter(pl.col("kind") == "edge").group_by("caller", "callee").agg(pl.col("critical_path_share").sum())
    )
    rows = (
        figures.edges.join(shares, on=["caller", "callee"], how="left")
        .with_columns(pl.col("critical_path_share").fill_null(0.0))
        .sort(pl.col("client_ns") + pl.col("server_ns"), "caller", "callee", descending=[True, False, False])
    )
    return rows.select(_EDGE).to_dicts()
