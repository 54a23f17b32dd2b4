"""All that is computed of one set of traces, each step once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analytics.attribution import attribute_sections
from analytics.calls import find_calls
from analytics.contributions import endpoint_requests, profile_endpoints
from analytics.critical_path import critical_path
from analytics.errors import find_errors
from analytics.forest import build_forest
from analytics.graph import service_edges
from analytics.node_stats import node_stats
from analytics.sampling import trace_weights
from analytics.self_time import self_time
from analytics.skew import correct_skew

if TYPE_CHECKING:
    import polars as pl

    from analytics.arrays import Flags, Floats, Times
    from analytics.attribution import Attribution
    from analytics.calls import CallGraph
    from analytics.contributions import Profile, Requests
    from analytics.critical_path import CriticalPath
    from analytics.errors import Errors
    from analytics.forest import Forest
    from analytics.source import Traces


@dataclass(frozen=True, slots=True)
class Analysed:
    """Traces and what was found; arrays have an entry a span or a trace of ``forest``.

    ``forest`` has corrected clocks, ``skew_adjusted`` the traces in which that moved a span. ``weights`` are how many
    requests each trace stands for. ``nodes`` is NODE_STATS, ``edges`` EDGES.
    """

    forest: Forest
    skew_adjusted: Flags
    weights: Floats
    self_time_ns: Times
    path: CriticalPath
    attribution: Attribution
    requests: Requests
    profile: Profile
    graph: CallGraph
    nodes: pl.DataFrame
    edges: pl.DataFrame
    errors: Errors


def analyse(traces: Traces, *, correct_clocks: bool = True, share: float = 1.0) -> Analysed:
    """Analyse traces, of which these are a ``share``; no input raises, an empty one gives empty frames."""
    forest = build_forest(traces.spans, traces.resources)
    adjusted = None
    if correct_clocks:
        forest, skew = correct_skew(forest)
        adjusted = skew.adjusted
    weights = trace_weights(forest) / share
    path = critical_path(forest)
    attribution = attribute_sections(forest, path)
    requests = endpoint_requests(forest, weights)
    graph = find_calls(forest, traces.links, weights)
    return Analysed(
        forest=forest,
        skew_adjusted=np.zeros(forest.traces.height, np.bool_) if adjusted is None else adjusted,
        weights=weights,
        self_time_ns=self_time(forest),
        path=path,
        attribution=attribution,
        requests=requests,
        profile=profile_endpoints(requests, attribution),
        graph=graph,
        nodes=node_stats(graph, weights),
        edges=service_edges(graph, weights),
        errors=find_errors(graph, weights),
    )
