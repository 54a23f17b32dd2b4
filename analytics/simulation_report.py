"""The answer of a simulation: the contract's JSON object, and in words what its figures rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analytics.figures import describe_window
from analytics.quantiles import ENOUGH_FOR_P99
from analytics.simulate import MS, Simulation
from analytics.targets import failed_calls
from analytics.words import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from analytics.analysis import Analysed
    from analytics.changes import Change, Fail, Slow
    from analytics.simulate import OnEdge

_ENDPOINT = (
    *("service", "operation", "traces", "p50_before_ms", "p50_after_ms", "p99_before_ms", "p99_after_ms", "p99_known"),
    *("error_rate_before", "error_rate_after", "affected_share"),
)
_FALLBACK = {
    True: "Their caller answers without them and does not fail for it; what failed on record stays failed.",
    False: "Nothing stands in for a call that failed: with CALLER->CALLEE=fallback its caller does not fail.",
}


def build_simulation(
    analysed: Analysed, changes: Sequence[Change], environments: Sequence[str] = (), environment: str = ""
) -> dict[str, Any]:
    """Return the contract's ``simulate`` object of one environment's traces; endpoints with most traffic come first.

    Raises ``ConfigurationError`` for a service or an edge that no trace has.
    """
    simulation = Simulation(analysed, changes)
    limits = {edge.change: _in_ms(edge.limits_ns) for edge in simulation.edges if edge.change.kind == "breaker"}
    return {
        "environment": environment,
        "environments": list(environments),
        "window": describe_window(analysed),
        "changes": [
            change.describe() | ({"thresholds_ms": limits[change]} if change in limits else {}) for change in changes
        ],
        "endpoints": simulation.endpoints.select(_ENDPOINT).to_dicts(),
        "blast_radius": simulation.blast_radius,
        "amplification": simulation.amplification,
        "assumptions": list(_assumptions(simulation)),
    }


def _in_ms(limits_ns: dict[str, int | None]) -> dict[str, float | None]:
    return {name: None if limit is None else limit / MS for name, limit in limits_ns.items()}


def _assumptions(simulation: Simulation) -> Iterator[str]:
    found = simulation.plan.dependencies
    yield "No queueing feedback: nobody gets busier, and pools, timeouts and retries behave as recorded."
    yield (
        "A call waits for an earlier one of the same span unless a trace contradicts it: "
        f"of {found.orders:,} orders seen, {found.contradicted:,} are contradicted."
    )
    for slow, nodes in simulation.slow:
        yield _of_slow(slow)
        if not simulation.waits_for(nodes):
            yield f"No recorded request waits for {slow.service}."
    yield from (_of_fail(fail) for fail, _ in simulation.fail)
    yield from (_of_edge(simulation, edge) for edge in simulation.edges)
    yield from _climbs(simulation)
    yield from _caveats(simulation)


def _of_slow(change: Slow) -> str:
    if change.factor != 1:
        return f"The own work of {change.service} takes {change.factor:g} times as long; its waiting does not."
    if change.delta_ns < 0:
        return f"Each request to {change.service} loses {-change.delta_ns / MS:g} ms of its own work, or all of it."
    return f"{change.delta_ns / MS:g} ms are added to each request to {change.service}, after all else in it."


def _of_fail(change: Fail) -> str:
    return (
        f"Each request to {change.service} fails with probability {change.share:g}, independently; it takes as long as "
        "recorded, and what failed on record stays failed."
    )


def _of_edge(simulation: Simulation, edge: OnEdge) -> str:
    name = f"{edge.change.caller}->{edge.change.callee}"
    if edge.change.kind == "async":
        return (
            f"{name} takes its caller only the time to hand over: what a call took beyond its callee's own time. "
            "Its failures no longer climb, but what failed on record stays failed."
        )
    failed = int(failed_calls(simulation.analysed, edge.calls).sum())
    breaker = f"{name} through a breaker: {failed:,} failed calls return at once"
    limits = [limit / MS for limit in edge.limits_ns.values() if limit is not None]
    if not limits:
        return f"{breaker}; too few healthy calls are on record to tell which are too slow."
    low, high = (f"{limit:,.0f} ms" for limit in (min(limits), max(limits)))
    refused = len(np.intersect1d(simulation.refused, edge.calls))
    over = low if low == high else f"{low} to {high}, by operation"
    return (
        f"{breaker}, and so do {refused:,} slow ones, which then fail: those over {over} (four standard deviations "
        f"above the median of the faster half of healthy calls, in logarithms). {_FALLBACK[edge.change.fallback]}"
    )


def _climbs(simulation: Simulation) -> Iterator[str]:
    if simulation.climb is None:
        return
    used = np.flatnonzero(simulation.climbed[1])
    pairs = simulation.analysed.edges[used].select("caller", "callee").rows()
    shares, assumed = simulation.climb.share[used], simulation.climb.assumed[used]
    rows = sorted((f"{a}->{b}", share, guess) for (a, b), share, guess in zip(pairs, shares, assumed, strict=True))
    measured = [f"{name} {percent(share)}" for name, share, guess in rows if not guess]
    if measured:
        yield f"How often a failed call fails its caller, as measured: {', '.join(measured)}."
    unknown = [name for name, share, guess in rows if guess and share]
    if unknown:
        names = ", ".join(unknown)
        yield f"Too few failures are on record to tell whether they fail the caller, taken as always: {names}."
    again = sorted((f"{a}->{b}", share) for (a, b), share in zip(pairs, simulation.climb.retried[used], strict=True))
    retried = [f"{name} {percent(share)}" for name, share in again if share]
    if retried:
        yield f"How often a failed call is tried again, as measured; all attempts have to fail: {', '.join(retried)}."


def _caveats(simulation: Simulation) -> Iterator[str]:
    analysed = simulation.analysed
    if analysed.requests.left_out:
        yield f"Left out: {counted(analysed.requests.left_out, 'trace')} without one root."
    if (analysed.weights != 1).any():
        yield "The traces are a sample, and weighted by what they stand for."
    few = int((~simulation.endpoints["p99_known"]).sum())
    if few:
        yield f"No p99 is known of {counted(few, 'endpoint')}, for want of {ENOUGH_FOR_P99} traces."
