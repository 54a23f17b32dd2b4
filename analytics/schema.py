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
    "db_statement": pl.String,
    "db_collection": pl.Categorical,
    "resend_count": pl.Int32,
    "error_type": pl.Categorical,
}
"""One row a span as received, in any order.

``trace_high`` and ``trace_low`` are the halves of the trace id. ``parent_span_id`` is null (or 0) at a root.
``resource`` points into RESOURCES: what a resource says once is looked up there, which spares a span five text columns.
Text is Categorical because that holds names in a quarter of the memory of String (4 against 16 bytes a value) and
groups a million of them three times as fast; every function takes String as well. ``trace_state`` differs from trace to
trace, so it stays text. ``messaging_operation`` and the other well-known columns are null where a span has none.
``db_statement`` is cut after 1,000 characters; ``error_type`` is that of a failed span, else of its first exception.
"""

RESOURCES: Columns = {
    "resource": pl.Int32,
    "environment": pl.String,
    "namespace": pl.String,
    "service": pl.String,
    "instance": pl.String,
    "version": pl.String,
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
    "tail_weight": pl.Float64,
    "tail_mean_ms": pl.Float64,
    "tail_excess_ms": pl.Float64,
    "tail_known": pl.Boolean,
}
"""One row an endpoint (root service and operation); ``endpoint`` is the row's own number.

``traces`` counts those analysed, ``weight`` the requests they stand for, ``tail_weight`` those of the tail. Rates,
means and quantiles are weighted. ``p99_known`` is false below 100 traces, ``tail_known`` below 30 tail traces.
``middle_mean_ms`` and ``tail_excess_ms`` (in CONTRIBUTIONS ``middle_ms``, ``middle_share`` and ``excess_ms``) are null
when no trace lies in p40 to p60, which only two or four traces can bring about.
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
    "noise_ms": pl.Float64,
}
"""One row a node of NODES: its mean critical-path time per trace on each side of a comparison, and the difference.

``noise_ms`` is how much of that chance may explain, 0 where there are too few traces to tell.
"""

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

_NODE_KEY: Columns = {
    "minute": pl.Int64,
    **dict.fromkeys(("environment", "type", "namespace", "name"), pl.String),
}

_EDGE_KEY: Columns = {
    "minute": pl.Int64,
    **dict.fromkeys(("environment", "caller_type", "caller_namespace", "caller"), pl.String),
    **dict.fromkeys(("callee_type", "callee_namespace", "callee", "mode"), pl.String),
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
        "begin_unix_nano": pl.Int64,
        "end_unix_nano": pl.Int64,
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
        "node_namespace": pl.String,
    },
    "rollup_nodes": {
        **_NODE_KEY,
        "calls": pl.Int64,
        **dict.fromkeys(("weight", "errors", "total_ns", "self_ns", "takes_part", "needed"), pl.Float64),
    },
    "rollup_node_latency": {**_NODE_KEY, "bucket": pl.Int16, "weight": pl.Float64},
    "rollup_edges": {
        **_EDGE_KEY,
        "protocol": pl.String,
        **dict.fromkeys(("calls", "inferred_calls"), pl.Int64),
        **dict.fromkeys(("weight", "errors", "client_weight", "client_ns", "server_weight", "server_ns"), pl.Float64),
        **dict.fromkeys(("gap_weight", "gap_ns", "originated", "propagated", "suppressed", "retries"), pl.Float64),
        "attempts": pl.Float64,
        "failed_parents": pl.Int64,
        **dict.fromkeys(("failed_weight", "failed_errors", "failed_squares"), pl.Float64),
        "other_parents": pl.Int64,
        **dict.fromkeys(("other_weight", "other_errors"), pl.Float64),
    },
    "rollup_edge_latency": {**_EDGE_KEY, "bucket": pl.Int16, "weight": pl.Float64},
    "rollup_resources": {
        "minute": pl.Int64,
        **dict.fromkeys(("environment", "namespace", "service", "instance", "resource", "metric", "part"), pl.String),
        **dict.fromkeys(("level", "utilisation"), pl.Float64),
    },
}
"""What the store keeps of each minute (since 1970), by the names of its tables.

Text, ``minute`` and ``bucket`` are keys, numbers add up over minutes; MERGED_BY has the exceptions. Traces, and what
happens in them, count in the minute of their earliest span. All but counts (Int64) is weighted. ``kept`` is the share
of the traces that was analysed; ``begin_unix_nano`` and ``end_unix_nano`` are the first start and the last end.
``bucket`` is of HISTOGRAM, in ``rollup_paths`` the trace's latency by eighths of an octave. A node's ``self_ns`` is its
spans' self time but for calls of others, ``takes_part`` weighs the traces it takes part in, ``needed`` those with one
root that wait for it. On an edge, ``attempts`` are sync calls from a request, ``retries`` those of them that repeat
another. ``failed_parents`` are requests in which the last attempt of some call on this edge failed, ``failed_weight``
what they weigh, ``failed_errors`` those of them that failed themselves and ``failed_squares`` the sum of squared
weights; ``other_`` is the same of requests with calls of which none failed. ``rollup_resources`` is RESOURCE_MINUTES.
"""

MERGED_BY = {"kept": "min", "begin_unix_nano": "min", "end_unix_nano": "max", "protocol": "most calls"}
"""How columns of ROLLUPS that are neither keys nor sums are merged."""


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
