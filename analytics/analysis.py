"""All that is computed of one set of traces, each step once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from analytics.attribution import attribute_sections
from analytics.calls import find_calls
from analytics.chance import contribution_spread
from analytics.contributions import endpoint_requests, profile_endpoints
from analytics.critical_path import critical_path
from analytics.errors import find_errors
from analytics.forest import build_forest
from analytics.graph import service_edges
from analytics.node_stats import node_stats
from analytics.retries import find_attempts
from analytics.sampling import trace_weights
from analytics.self_time import self_time
from analytics.skew import correct_skew

if TYPE_CHECKING:
    import polars as pl

    from analytics.arrays import Floats, Times
    from analytics.attribution import Attribution
    from analytics.calls import CallGraph
    from analytics.chance import Spread
    from analytics.contributions import Profile, Requests
    from analytics.critical_path import CriticalPath
    from analytics.errors import Errors
    from analytics.forest import Forest
    from analytics.retries import Attempts
    from analytics.source import Traces


@dataclass(frozen=True)
class Analysed:
    """Traces and what was found; arrays have an entry a span or a trace of ``forest``.

    ``forest`` has corrected clocks. ``weights`` are how many requests each trace stands for. What not every question
    needs is computed when it is first asked for, and kept: ``profile``, ``nodes`` (NODE_STATS), ``edges`` (EDGES),
    ``attempts`` and ``errors``.
    """

    forest: Forest
    weights: Floats
    path: CriticalPath
    attribution: Attribution
    requests: Requests
    graph: CallGraph

    @cached_property
    def self_time_ns(self) -> Times:
        """Nanoseconds that each span worked itself."""
        return self_time(self.forest)

    @cached_property
    def profile(self) -> Profile:
        """The endpoints and what contributes to their latency."""
        return profile_endpoints(self.requests, self.attribution)

    @cached_property
    def spread(self) -> Spread:
        """How much what contributes to the endpoints' latency differs from trace to trace."""
        return contribution_spread(self.requests, self.attribution)

    @cached_property
    def nodes(self) -> pl.DataFrame:
        """NODE_STATS, over the time from the first start as received to the last end."""
        first = self.forest.traces["start_unix_nano"].to_numpy()
        observed = int(self.forest.end.max() - first.min()) if len(self.forest) else 0
        return node_stats(self.graph, self.weights, observed)

    @cached_property
    def edges(self) -> pl.DataFrame:
        """EDGES."""
        return service_edges(self.graph, self.weights)

    @cached_property
    def attempts(self) -> Attempts:
        """Which calls of ``graph`` repeat others."""
        return find_attempts(self.graph)

    @cached_property
    def errors(self) -> Errors:
        """The errors of services and edges."""
        return find_errors(self.graph, self.weights, self.attempts)


def analyse(traces: Traces, *, correct_clocks: bool = True, share: float = 1.0) -> Analysed:
    """Analyse traces, of which these are a ``share``; no input raises, an empty one gives empty frames."""
    forest = build_forest(traces.spans, traces.resources)
    if correct_clocks:
        forest, _ = correct_skew(forest)
    weights = trace_weights(forest) / share
    path = critical_path(forest)
    return Analysed(
        forest=forest,
        weights=weights,
        path=path,
        attribution=attribute_sections(forest, path),
        requests=endpoint_requests(forest, weights),
        graph=find_calls(forest, traces.links, weights),
    )
