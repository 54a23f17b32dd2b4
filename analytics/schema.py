"""Names and types of the columns that the analysis takes and gives, declared once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from collector.semconv import WELL_KNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

Columns: TypeAlias = "dict[str, pl.DataType | type[pl.DataType]]"

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
"""Span kinds; the place in this tuple is the code that arrays hold."""
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(1, 6)

STATUSES = ("unset", "ok", "error")

_TYPES: Columns = {"string": pl.Categorical, "int32": pl.Int32}

SPANS: Columns = {
    "trace_high": pl.UInt64,
    "trace_low": pl.UInt64,
    "span_id": pl.UInt64,
    "parent_span_id": pl.UInt64,
    "resource": pl.Int32,
    "span_name": pl.Categorical,
    "kind": pl.Enum(KINDS),
    "start_unix_nano": pl.Int64,
    "duration_ns": pl.Int64,
    "status": pl.Enum(STATUSES),
    "trace_state": pl.String,
    **{known.column: _TYPES[str(known.dtype)] for known in WELL_KNOWN},
}
"""One row a span as received, in any order.

``trace_high`` and ``trace_low`` are the halves of the trace id. ``parent_span_id`` is null (or 0) at a root.
``resource`` points into RESOURCES: what a resource says once is looked up there, which spares a span five text columns.
Text is Categorical because that holds names in a quarter of the memory of String (4 against 16 bytes a value) and
groups a million of them three times as fast; every function takes String as well. ``trace_state`` differs from trace to
trace, so it stays text. ``messaging_operation`` and the other well-known columns are null where a span has none.
"""

RESOURCES: Columns = {
    "resource": pl.Int32,
    "environment": pl.String,
    "namespace": pl.String,
    "service": pl.String,
    "instance": pl.String,
    "host": pl.String,
}
"""One row a resource, ids dense from 0; ``host`` is ``host.id``, else ``host.ip``, else ``host.name``, else null."""

LINKS: Columns = {
    "trace_high": pl.UInt64,
    "trace_low": pl.UInt64,
    "span_id": pl.UInt64,
    "linked_trace_high": pl.UInt64,
    "linked_trace_low": pl.UInt64,
    "linked_span_id": pl.UInt64,
}
"""One row a span link, from the span that carries it to the one it names."""

SERVICES: Columns = {
    "service_code": pl.Int32,
    "environment": pl.String,
    "namespace": pl.String,
    "service": pl.String,
}
"""One row a service, ordered by environment, namespace (null last) and name.

Codes are dense from 0 and hold for one Forest only.
"""

TRACES: Columns = {
    "trace": pl.Int32,
    "trace_high": pl.UInt64,
    "trace_low": pl.UInt64,
    "root": pl.Int32,
    "root_count": pl.Int32,
    "orphan_count": pl.Int32,
    "span_count": pl.Int32,
    "complete": pl.Boolean,
    "start_unix_nano": pl.Int64,
    "minute": pl.Int64,
}
"""One row a trace, ordered by the low, then the high half of its id; ``trace`` is the row's own number.

``root`` is the row of the root span, null unless there is exactly one. ``orphan_count`` counts the heads of fragments:
spans whose parent is missing or was cut off since parents formed a cycle. ``complete``: one root and no fragment.
``start_unix_nano`` is the earliest start as received, ``minute`` that time in whole minutes since 1970.
"""

SECTIONS: Columns = {
    "trace": pl.Int32,
    "span": pl.Int32,
    "begin_unix_nano": pl.Int64,
    "end_unix_nano": pl.Int64,
    "part": pl.UInt8,
}
"""One row a section of a critical path: in [begin, end) the trace waited for this span's own work.

``trace`` and ``span`` are rows of a Forest. In a trace sections do not overlap, none is empty, two that touch belong to
different spans, and their lengths add up to the root's duration. The order is arbitrary (``newest_first`` sorts).
``part`` is the place among the span's children on the path, one of PARTS.
"""

PARTS = ("whole", "before", "between", "after")
"""No child on the path; before the earliest child; between two children; after the latest child."""
WHOLE, BEFORE, BETWEEN, AFTER = range(4)

SIDES = ("request", "response")

NODES: Columns = {
    "node": pl.Int32,
    "kind": pl.Enum(("service", "edge")),
    "type": pl.Enum(("service", "database", "queue", "external")),
    "name": pl.String,
    "environment": pl.String,
    "namespace": pl.String,
    "caller": pl.String,
    "callee": pl.String,
}
"""One row a node that sections are attributed to; ``node`` is the row's own number, and holds for one result only.

``name`` is the service's, ``caller->callee``, or the system that a client span names. ``type`` is null for an edge,
``caller`` and ``callee`` are null for all else. ``namespace`` is the service's, or the caller's; null for other types.
"""

ATTRIBUTED: Columns = {**SECTIONS, "node": pl.Int32, "side": pl.Enum(SIDES)}
"""Sections with their node; ``side`` tells the two gaps of an edge apart and is null elsewhere, or when neither."""

ENDPOINTS: Columns = {
    "endpoint": pl.Int32,
    "environment": pl.String,
    "namespace": pl.String,
    "service": pl.String,
    "operation": pl.String,
    "traces": pl.Int64,
    "weight": pl.Float64,
    "error_rate": pl.Float64,
    "mean_ms": pl.Float64,
    "p50_ms": pl.Float64,
    "p95_ms": pl.Float64,
    "p99_ms": pl.Float64,
    "p99_known": pl.Boolean,
    "middle_traces": pl.Int64,
    "middle_mean_ms": pl.Float64,
    "tail_traces": pl.Int64,
    "tail_mean_ms": pl.Float64,
    "tail_excess_ms": pl.Float64,
    "tail_known": pl.Boolean,
}
"""One row an endpoint (root service and operation); ``endpoint`` is the row's own number.

``traces`` counts those analysed, ``weight`` the requests they stand for. Rates, means and quantiles are weighted.
``p99_known`` is false below 100 traces, ``tail_known`` below 30 tail traces. ``middle_mean_ms`` and
``tail_excess_ms`` (in CONTRIBUTIONS ``middle_ms``, ``middle_share`` and ``excess_ms``) are null when no trace lies in
p40 to p60, which only two or four traces can bring about.
"""

CONTRIBUTIONS: Columns = {
    "endpoint": pl.Int32,
    "node": pl.Int32,
    "critical_path_ms": pl.Float64,
    "share": pl.Float64,
    "middle_ms": pl.Float64,
    "tail_ms": pl.Float64,
    "middle_share": pl.Float64,
    "tail_share": pl.Float64,
    "excess_ms": pl.Float64,
}
"""One row an endpoint and node, by endpoint, the largest contribution first.

For each endpoint ``critical_path_ms`` adds up to the mean latency, ``middle_ms`` and ``tail_ms`` to the mean latencies
of the middle and the tail, ``excess_ms`` to ``tail_excess_ms``, and shares to 1. Shares of no latency at all are 0.
"""

INTERVALS: Columns = {
    "endpoint": pl.Int32,
    "node": pl.Int32,
    "critical_path_low_ms": pl.Float64,
    "critical_path_high_ms": pl.Float64,
    "excess_low_ms": pl.Float64,
    "excess_high_ms": pl.Float64,
}
"""One row an endpoint and node, sorted; excesses are null when no set of traces had a middle."""

CHANGES: Columns = {
    "kind": pl.Enum(("service", "edge")),
    "type": pl.Enum(("service", "database", "queue", "external")),
    "name": pl.String,
    "caller": pl.String,
    "callee": pl.String,
    "before_ms": pl.Float64,
    "after_ms": pl.Float64,
    "delta_ms": pl.Float64,
}
"""One row a node of NODES: its mean critical-path time per trace on each side of a comparison, and the difference."""

CULPRITS: Columns = {
    "service": pl.String,
    "kind": pl.Enum(("service", "edge")),
    "type": pl.Enum(("service", "database", "queue", "external")),
    "name": pl.String,
    "starved": pl.Boolean,
    "rise": pl.Float64,
    "delta_ms": pl.Float64,
    "score": pl.Float64,
}
"""One row a node that grew, most to blame first; ``service`` is who is blamed for it.

``score`` is the share of all growth that is that service's, times one plus ``rise``, by which its worst resource filled
up (null: unknown). ``starved``: the gap of an edge is its caller's.
"""

HISTOGRAM: Columns = {"bucket": pl.Int16, "weight": pl.Float64}
"""Key columns come before these: one row a non-empty bucket. Histograms merge by adding up the weights."""


_ENDPOINT_KEY: Columns = {
    "minute": pl.Int64,
    "environment": pl.String,
    "namespace": pl.String,
    "service": pl.String,
    "operation": pl.String,
}

ROLLUPS: dict[str, Columns] = {
    "rollup_windows": {
        "minute": pl.Int64,
        "environment": pl.String,
        "traces": pl.Int64,
        "spans": pl.Int64,
        "incomplete_traces": pl.Int64,
        "sampled_traces": pl.Int64,
        "weight": pl.Float64,
        "kept": pl.Float64,
    },
    "rollup_endpoints": {
        **_ENDPOINT_KEY,
        "traces": pl.Int64,
        "weight": pl.Float64,
        "errors": pl.Float64,
        "duration_ns": pl.Float64,
    },
    "rollup_latency": {**_ENDPOINT_KEY, "bucket": pl.Int16, "weight": pl.Float64},
    "rollup_paths": {
        **_ENDPOINT_KEY,
        "bucket": pl.Int16,
        "kind": pl.String,
        "type": pl.String,
        "name": pl.String,
        "caller": pl.String,
        "callee": pl.String,
        "critical_path_ns": pl.Float64,
    },
}
"""What the store keeps of each minute (since 1970), by the names of its tables; everything but keys adds up.

Traces count in the minute of their earliest span. ``weight``, ``errors``, ``duration_ns`` and ``critical_path_ns`` are
weighted. ``kept`` is the share of the traces that was analysed. ``bucket`` is of HISTOGRAM, in ``rollup_paths`` the
trace's latency by eighths of an octave.
"""


def conform(frame: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """Return the frame with exactly these columns in these types and this order.

    A column that is missing comes out null; one that cannot be cast raises ``polars.exceptions.PolarsError``.
    """
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in columns.items()
    )


def empty(columns: Mapping[str, pl.DataType | type[pl.DataType]]) -> pl.DataFrame:
    """Return a frame of these columns without a row."""
    return pl.DataFrame(schema=dict(columns))


NODE_TYPES = ("service", "database", "queue", "external", "user")
SERVICE, DATABASE, QUEUE, EXTERNAL, USER = range(5)

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
``client_ns``, ``server_ns`` and ``gap_ns`` (client minus server, where both are known) are sums over as much weight as
the column before says; they, ``calls``, ``weight`` and ``errors`` add up over minutes. ``gap_ms`` is a mean, null
without a pair. Quantiles are the client's time, else the server's. ``caller_weight`` is that of the traces in which
the caller takes part. ``protocol`` is the most frequent one, null when none is known.
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
