"""The figures that a report shows, from analysed traces; ``analytics.rolled`` makes the same ones from rollups."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from analytics.codes import sum_by
from analytics.graph_rollups import worked_ns
from analytics.narrowing import touched_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.analysis import Analysed
    from analytics.contributions import Profile
    from analytics.narrowing import Touched


@dataclass(frozen=True, slots=True)
class Figures:
    """What a report is made of.

    ``window`` is the contract's object. ``path_nodes`` are the NODES of the profile. ``nodes`` is NODE_STATS with
    ``self_time_ms``, the mean a trace, null for what is no service; ``edges`` is EDGES with EDGE_ERRORS. ``touched``
    tells what the requests to a service and its operation touch.
    """

    window: dict[str, Any]
    profile: Profile
    path_nodes: pl.DataFrame
    nodes: pl.DataFrame
    edges: pl.DataFrame
    touched: Callable[[str, str], Touched]


def figures_of(analysed: Analysed) -> Figures:
    """Return the figures of analysed traces."""
    return Figures(
        window=describe_window(analysed),
        profile=analysed.profile,
        path_nodes=analysed.attribution.nodes,
        nodes=_with_self_times(analysed),
        edges=analysed.edges.join(analysed.errors.edges.drop("errors"), on="edge", how="left", maintain_order="left"),
        touched=partial(touched_by, analysed),
    )


def describe_window(analysed: Analysed) -> dict[str, Any]:
    """Return the contract's ``window`` object: what was looked at.

    ``settled_through`` is null here, since all spans were read; a report from rollups says how far those are settled.
    """
    forest = analysed.forest
    traces = forest.traces
    return {
        "from": traces["start_unix_nano"].min(),
        "to": int(forest.end.max()) if len(forest) else None,
        "traces": traces.height,
        "spans": len(forest),
        "incomplete_traces": traces.height - int(traces["complete"].sum()),
        "sampled": bool((analysed.weights != 1).any()),
        "settled_through": None,
    }


def _with_self_times(analysed: Analysed) -> pl.DataFrame:
    """Add the mean self time per trace; the nodes of services have the numbers of these."""
    forest, total = analysed.forest, float(analysed.weights.sum())
    worked = sum_by(forest.service, worked_ns(analysed), forest.origins.services.height)
    times = pl.DataFrame({"node": range(len(worked)), "self_time_ms": worked / 1e6 / (total or 1)})
    return analysed.nodes.join(times.cast({"node": pl.Int32}), on="node", how="left", maintain_order="left")
