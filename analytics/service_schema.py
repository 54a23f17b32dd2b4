"""Names and types of the columns that describe services, calls and resources, declared once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from analytics.schema import Columns

NODE_TYPES = ("service", "database", "queue", "external", "user")

GRAPH_NODES: Columns = {
    "node": pl.Int32,
    "type": pl.Enum(NODE_TYPES),
    "name": pl.String,
    "environment": pl.String,
    "namespace": pl.String,
}
"""One row a node of the service graph; ``node`` is the row's own number, and for a service its code in SERVICES.

A ``database`` is named by system, address and namespace, a ``queue`` by its destination, an ``external`` by its peer
service or address; ``user`` stands for whoever sends root requests, one an environment.
"""

MODES = ("sync", "async")

CALLEE_KNOWN_BY = ("answer", "peer", "address", "name", "operation")
"""How the callee of a call is known: its span is there; the caller's attributes name the database, queue or external
system; all answered calls to this address reached this service; ``peer.service`` is the name of this service alone; all
answered calls of this RPC method reached this service. The last three are inferred, each within one environment."""

CALLS: Columns = {
    "span": pl.Int32,
    "answer": pl.Int32,
    "trace": pl.Int32,
    "caller": pl.Int32,
    "callee": pl.Int32,
    "mode": pl.Enum(MODES),
    "protocol": pl.Categorical,
    "client_ns": pl.Int64,
    "server_ns": pl.Int64,
    "client_failed": pl.Boolean,
    "server_failed": pl.Boolean,
    "weight": pl.Float64,
    "known_by": pl.Enum(CALLEE_KNOWN_BY),
}
"""One row a call, in arbitrary order.

``span`` and ``answer`` are the Forest's rows on the caller's and the callee's side; a ``user`` has no span, and a call
whose other side left none has no answer. ``trace`` is the caller's, else the callee's. ``caller`` and ``callee`` are
rows of GRAPH_NODES. ``client_*`` is null where no CLIENT or PRODUCER span is the caller's side of this call alone.
A message is two calls: to its queue, and from the queue to each consumer (one when nobody names the queue).
"""

EDGES: Columns = {
    "edge": pl.Int32,
    "environment": pl.String,
    "caller_node": pl.Int32,
    "callee_node": pl.Int32,
    "caller": pl.String,
    "caller_namespace": pl.String,
    "caller_type": pl.Enum(NODE_TYPES),
    "callee": pl.String,
    "callee_namespace": pl.String,
    "callee_type": pl.Enum(NODE_TYPES),
    "mode": pl.Enum(MODES),
    "protocol": pl.String,
    "calls": pl.Int64,
    "inferred_calls": pl.Int64,
    "weight": pl.Float64,
    "errors": pl.Float64,
    "error_rate": pl.Float64,
    "client_weight": pl.Float64,
    "client_ns": pl.Float64,
    "server_weight": pl.Float64,
    "server_ns": pl.Float64,
    "gap_weight": pl.Float64,
    "gap_ns": pl.Float64,
    "gap_ms": pl.Float64,
    "p50_ms": pl.Float64,
    "p95_ms": pl.Float64,
    "p99_ms": pl.Float64,
    "p99_known": pl.Boolean,
    "caller_weight": pl.Float64,
    "calls_per_trace": pl.Float64,
}
"""One row an edge (caller, callee and mode), by caller, callee and mode; ``edge`` is the row's own number.

``calls`` counts records, ``weight`` the calls they stand for; all that follows is weighted. A call is an error when
either side failed. ``inferred_calls`` left no span of the callee, which is known by their address, name or operation.
``client_ns``, ``server_ns`` and ``gap_ns`` (client minus server, where both are known and the server did not take
longer, as it does when its client stops waiting) are sums over as much weight as the column before says; they,
``calls``, ``weight`` and ``errors`` add up over minutes. ``gap_ms`` is a mean, null without a pair. Quantiles are the
client's time, else the server's. ``caller_weight`` is that of the traces in which the caller takes part. ``protocol``
is the most frequent one, null when none is known.
"""

SERVICE_ERRORS: Columns = {
    "node": pl.Int32,
    "environment": pl.String,
    "namespace": pl.String,
    "service": pl.String,
    "requests": pl.Int64,
    "weight": pl.Float64,
    "errors": pl.Float64,
    "error_rate": pl.Float64,
    "originated": pl.Float64,
    "propagated": pl.Float64,
    "suppressed": pl.Float64,
}
"""One row a service with requests, by node; ``requests`` counts entries, all after it is weighted.

A failed request was ``propagated`` when the last attempt of some call it made failed, and ``originated`` here when not;
``suppressed`` are requests that did not fail although some call did. Originated and propagated add up to errors.
"""

EDGE_ERRORS: Columns = {
    "edge": pl.Int32,
    "errors": pl.Float64,
    "originated": pl.Float64,
    "propagated": pl.Float64,
    "suppressed": pl.Float64,
    "retries": pl.Float64,
    "retry_amplification": pl.Float64,
    "failed_parents": pl.Int64,
    "failure_propagation": pl.Float64,
    "failure_propagation_low": pl.Float64,
    "failure_propagation_high": pl.Float64,
    "other_parents": pl.Int64,
    "base_rate": pl.Float64,
}
"""One row an edge of EDGES, by ``edge``; all but counts of parents is weighted.

A failed call was ``propagated`` when its callee only passed on a failure of a call of its own, else ``originated`` with
the callee or on the way; it was ``suppressed`` when the caller's request did not fail. ``retry_amplification`` is
attempts over first attempts, null for async edges and users. ``failed_parents`` counts the caller's requests in which
the last attempt of some call on this edge failed, ``other_parents`` those with calls of which none did.
``failure_propagation`` is the share of failed ones among the former, with Wilson's 95 % interval, null below 20 of them
and for async edges and users; ``base_rate`` the share among the latter, null without any.
"""

NODE_STATS: Columns = {
    "node": pl.Int32,
    "type": pl.Enum(NODE_TYPES),
    "name": pl.String,
    "environment": pl.String,
    "namespace": pl.String,
    "calls": pl.Int64,
    "weight": pl.Float64,
    "errors": pl.Float64,
    "error_rate": pl.Float64,
    "total_ns": pl.Float64,
    "p50_ms": pl.Float64,
    "p95_ms": pl.Float64,
    "p99_ms": pl.Float64,
    "p99_known": pl.Boolean,
    "fan_in": pl.Int32,
    "fan_out": pl.Int32,
    "instability": pl.Float64,
    "concurrency": pl.Float64,
    "blast_radius": pl.Float64,
}
"""One row a node of GRAPH_NODES, in their order, but for services without a span.

``calls`` are a service's entries, and for other nodes the calls to them; ``total_ns`` is the weighted sum of their
times, ``concurrency`` that by the length of the window. Quantiles are null without calls. ``fan_in`` and ``fan_out``
count other nodes with an edge to and from this one, users apart; ``instability`` is fan_out by their sum, null for 0.
``blast_radius`` is the share of traces with one root that need the node on a blocking path, null for users and without
such traces.
"""

SEVERITIES = ("info", "warning", "critical")

RESOURCE_MINUTES: Columns = {
    "environment": pl.String,
    "namespace": pl.String,
    "service": pl.String,
    "instance": pl.String,
    "resource": pl.String,
    "metric": pl.String,
    "part": pl.String,
    "minute": pl.Int64,
    "level": pl.Float64,
    "utilisation": pl.Float64,
}
"""One row a metric, instance, part and minute, sorted; ``part`` is what else tells a resource from others, such as a
pool's name, as ``key=value`` joined by commas. ``level`` is the minute's mean (of ``pending`` metrics its greatest
value, of counters the growth a second), ``utilisation`` a share of 0 to 1, null when no limit is known."""

RESOURCE_USE: Columns = {
    **dict.fromkeys(("environment", "namespace", "service", "instance", "resource", "metric", "part"), pl.String),
    "minutes": pl.Int64,
    "mean": pl.Float64,
    "max": pl.Float64,
    "minutes_over": pl.Int64,
    "past_minutes": pl.Int64,
    "past_mean": pl.Float64,
    "jump": pl.Float64,
    "jumped": pl.Boolean,
    "severity": pl.Enum(SEVERITIES),
}
"""One row a metric, instance and part, the worst first.

``mean`` and ``max`` are of the minutes' utilisations, null when none is known, and ``minutes_over`` counts those of 0.8
or more. ``past_mean`` and ``jump`` (mean now less mean then) are utilisations too, or levels where those are null; null
without minutes before. ``severity`` is null when there is nothing to say of a resource without a known utilisation.
"""

SATURATION: Columns = {
    **dict.fromkeys(("environment", "namespace", "service"), pl.String),
    "saturation": pl.Float64,
    "saturation_mean": pl.Float64,
    "severity": pl.Enum(SEVERITIES),
    "saturation_source": pl.String,
}
"""One row a service with metrics, the worst first; ``saturation`` is its worst resource's greatest minute, 0 to 1, null
when no utilisation is known. ``saturation_source`` names resource, metric, instance and part."""

INSTANCE_LOAD: Columns = {
    "service_code": pl.Int32,
    "instance": pl.String,
    "window": pl.Int32,
    "requests": pl.Int64,
    "started": pl.Float64,
    "throughput": pl.Float64,
    "mean_ms": pl.Float64,
    "concurrency": pl.Float64,
    "busy": pl.Float64,
}
"""One row a service instance and window with requests in it, sorted.

``requests`` counts the entries that overlap the window, ``started`` weighs those that began in it, ``throughput`` is
that a second. ``mean_ms`` is the mean of their times cut to the window, ``concurrency`` the sum of these by the
window's length, ``busy`` the same of the spans' self time.
"""

LOAD_POINTS: Columns = {
    "service_code": pl.Int32,
    "window_unix_nano": pl.Int64,
    "width_s": pl.Float64,
    "requests": pl.Int64,
    "instances": pl.Int32,
    "rate": pl.Float64,
    "concurrency": pl.Float64,
    "p50_ms": pl.Float64,
    "p99_ms": pl.Float64,
}
"""One row a service and window, sorted; windows of one service are all ``width_s`` seconds long, from their begin on.

``requests`` counts the entries that began in it and ``instances`` those that served them. ``rate``, a second, and
``concurrency`` are an instance's, weighted.
"""

HOT_INSTANCES: Columns = {
    "service_code": pl.Int32,
    "instance": pl.String,
    "instances": pl.Int32,
    "requests": pl.Int64,
    "load_share": pl.Float64,
    "load_ratio": pl.Float64,
    "p50_ms": pl.Float64,
    "latency_ratio": pl.Float64,
    "hot": pl.Boolean,
    "reason": pl.String,
}
"""One row an instance of a service that has several, sorted; ratios are against the median of its peers.

``latency_ratio`` is of times by what is usual for their operation. ``hot`` is null, and ``reason`` says what is
missing, when there is too little to tell; otherwise it says what differs.
"""

STATES = ("found", "none", "unknown")

QUEUEING: Columns = {
    "edge": pl.Int32,
    "windows": pl.Int32,
    "load_low": pl.Float64,
    "load_high": pl.Float64,
    "gap_low_ms": pl.Float64,
    "gap_high_ms": pl.Float64,
    "correlation": pl.Float64,
    "status": pl.Enum(STATES),
    "reason": pl.String,
}
"""One row a sync edge with gaps, by edge of EDGES; loads are calls of the callee a second, low and high the means of
the third of windows with least and most load. All measures are null where ``status`` is unknown."""

EDGE_CALLS: Columns = {
    "edge": pl.Int32,
    "call": pl.Int32,
    "trace": pl.Int32,
    "entry": pl.Int32,
    "timed": pl.Int32,
    "answer": pl.Int32,
    "own": pl.Boolean,
    "begin": pl.Int64,
    "ns": pl.Int64,
    "outlived_ns": pl.Int64,
    "failed": pl.Boolean,
    "attempt": pl.Int32,
    "rejected": pl.Boolean,
    "weight": pl.Float64,
    "stretch": pl.Int32,
    "healthy": pl.Boolean,
}
"""One row a sync call of a service to another or to an external system, by edge (of EDGES) and begin.

``call`` is the row of CALLS, ``entry`` the caller's request, ``timed`` the span that ``begin`` and ``ns`` are of: the
caller's ``own`` for this call, else the answer. ``outlived_ns`` is by how much the answer took longer than its client
that failed, else 0. ``attempt`` is 1 for a first attempt; a ``rejected`` call failed since a breaker forbade it.
``stretch`` is a row of STRETCHES, ``healthy`` whether that is.
"""

STRETCHES: Columns = {
    "stretch": pl.Int32,
    "edge": pl.Int32,
    "begin": pl.Int64,
    "until": pl.Int64,
    "calls": pl.Int64,
    "weight": pl.Float64,
    "failed": pl.Float64,
    "median_ns": pl.Float64,
    "healthy": pl.Boolean,
}
"""One row a stretch of consecutive calls of an edge, by edge and begin; ``stretch`` is the row's own number.

``until`` is where the edge's next one begins, or just after the last call. ``failed`` is weighted. A stretch is healthy
when in it and in both its neighbours less than half failed and the median is not far above the edge's better ones'.
"""

EDGE_BASELINES: Columns = {
    "edge": pl.Int32,
    "calls": pl.Int64,
    "error_rate": pl.Float64,
    "p50_ms": pl.Float64,
    "p99_ms": pl.Float64,
}
"""One row an edge with a healthy stretch, sorted: its calls in healthy stretches, and how many fail there; times are of
those that did not fail, null without any, and not of stretches in which several hang."""

DEPTHS: Columns = {"hops": pl.Int32, "weight": pl.Float64, "share": pl.Float64}
"""One row a number of service hops that a request's longest wait has, ascending; shares of requests add up to 1."""

HARD_NEEDS: Columns = {
    "endpoint": pl.Int32,
    "node": pl.Int32,
    "type": pl.Enum(NODE_TYPES),
    "name": pl.String,
    "share": pl.Float64,
    "availability": pl.Float64,
}
"""One row an endpoint (of ENDPOINTS) and node of NODE_STATS that its requests wait for, sorted; the service that they
came to is one of them.

``share`` is that of its requests which do, ``availability`` of the node's requests which did not fail by its own fault:
1 while none did, whatever would happen to it tomorrow.
"""

SERIES: Columns = {
    "endpoint": pl.Int32,
    "dependencies": pl.Int32,
    "series_availability": pl.Float64,
    "weakest": pl.String,
    "weakest_availability": pl.Float64,
}
"""One row an endpoint, sorted; ``dependencies`` are others than the service that requests came to.

``series_availability`` is the product over all of HARD_NEEDS: how often all of them work. Source: Treynor et al., The
Calculus of Service Availability, ACM Queue 2017.
"""
