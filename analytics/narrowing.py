"""What of a report is about one endpoint: the services and edges that its traces touch, and the findings of these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import polars as pl

    from analytics.analysis import Analysed
    from analytics.contributions import Profile

    Row = dict[str, Any]

_TOUCHES = 0.1
"""A finding about a tenth of an endpoint's time is about that endpoint."""
_SEVERITIES = ("critical", "warning", "info")


@dataclass(frozen=True, slots=True)
class Touched:
    """Names of the services, databases and others that the traces of an endpoint touch, and its edges by these."""

    names: frozenset[str]
    edges: frozenset[tuple[str, str]]


def touched_by(analysed: Analysed, service: str, operation: str) -> Touched:
    """Return what the traces of an endpoint touch, whether it waits for that or not."""
    graph, requests = analysed.graph, analysed.requests
    wanted = requests.endpoints.filter(service=service, operation=operation)
    traces = requests.traces.join(wanted.select("endpoint"), on="endpoint", how="semi")
    calls = graph.calls.join(traces.select("trace"), on="trace", how="semi").select("caller", "callee").unique()
    names = graph.nodes["name"]
    pairs = zip(*(names.gather(calls[side]).to_list() for side in ("caller", "callee")), strict=True)
    return _touched(service, pairs)


def touched_on_path(profile: Profile, nodes: pl.DataFrame, edges: pl.DataFrame, endpoint: tuple[str, str]) -> Touched:
    """Return what the requests of an endpoint wait for, from its contributions, and the edges between these."""
    service, operation = endpoint
    wanted = profile.endpoints.filter(service=service, operation=operation).select("endpoint")
    on_path = nodes.join(profile.contributions.join(wanted, on="endpoint", how="semi"), on="node", how="semi")
    names = {service, "user", *on_path.filter(kind="service")["name"]}
    pairs = edges.select("caller", "callee").unique().iter_rows()
    return _touched(service, ((caller, callee) for caller, callee in pairs if {caller, callee} <= names))


def _touched(service: str, pairs: Iterable[tuple[str, str]]) -> Touched:
    edges = frozenset(pairs)
    return Touched(frozenset({service, *(name for edge in edges for name in edge)}), edges)


def of_endpoint(report: Row, touched: Touched) -> Row:
    """Return a ``report`` of which only the rows and findings about its endpoint are left.

    The figures of services and edges stay those of all their traffic. What could not be told stays.
    ``findings_elsewhere`` says how many findings are left out.
    """
    endpoint, findings = report["endpoints"][0], report["findings"]
    about = [finding for finding in findings if _is_about(finding, name_of(endpoint), touched)]
    return report | {
        "services": [row for row in report["services"] if row["name"] in touched.names],
        "edges": [row for row in report["edges"] if (row["caller"], row["callee"]) in touched.edges],
        "findings": about,
        "findings_elsewhere": len(findings) - len(about),
    }


def name_of(endpoint: Mapping[str, Any]) -> str:
    """Return an endpoint as ``--endpoint`` takes it."""
    return f"{endpoint['service']} {endpoint['operation']}"


def _is_about(finding: Row, endpoint: str, touched: Touched) -> bool:
    if finding["status"] == "unknown":
        return True
    if (named := finding["evidence"].get("endpoint")) is not None:
        return bool(named == endpoint)
    if finding["edges"]:
        return any(tuple(edge.split("->", 1)) in touched.edges for edge in finding["edges"])
    return not touched.names.isdisjoint(finding["services"])


def in_order(findings: Sequence[Row], endpoint: Row | None) -> list[Row]:
    """Return findings worst first; of one severity those before that touch the endpoint that stands out."""
    if endpoint is None:
        return list(findings)
    shares = {part["node"]: part["share"] for part in endpoint["contributions"]}

    def rank(finding: Row) -> tuple[bool, int, bool]:
        named = [shares.get(name, 0.0) for name in (*finding["services"], *finding["edges"])]
        touches = finding["evidence"].get("endpoint", name_of(endpoint)) == name_of(endpoint)
        return (
            finding["status"] == "unknown",
            _SEVERITIES.index(finding["severity"]),
            not (touches and max(named, default=0.0) >= _TOUCHES),
        )

    return sorted(findings, key=rank)
