-- All settled traces by edge of the service graph, from the rollups.
CREATE OR REPLACE VIEW main.edges AS
WITH sums AS (
    SELECT
        environment,
        caller_type,
        caller_namespace,
        caller,
        callee_type,
        callee_namespace,
        callee,
        mode,
        arg_max(protocol, calls) AS protocol,
        sum(COLUMNS(* EXCLUDE (
            minute,
            environment,
            caller_type,
            caller_namespace,
            caller,
            callee_type,
            callee_namespace,
            callee,
            mode,
            protocol
        )))
    FROM store.rollup_edges
    GROUP BY ALL
),
callers AS (
    SELECT environment, type, namespace, name, sum(takes_part) AS takes_part
    FROM store.rollup_nodes
    GROUP BY ALL
),
waits AS (
    SELECT environment, caller, callee, sum(share) AS share
    FROM (
        SELECT *, ns / nullif(sum(ns) OVER (PARTITION BY environment), 0) AS share
        FROM store.path_parts
    )
    WHERE kind = 'edge'
    GROUP BY ALL
)
SELECT
    e.environment,
    e.caller,
    e.callee,
    e.mode,
    e.protocol,
    e.calls::BIGINT AS calls,
    e.weight / nullif(c.takes_part, 0) AS calls_per_trace,
    e.errors / nullif(e.weight, 0) AS error_rate,
    q.p50_ms,
    q.p95_ms,
    q.p99_ms,
    e.calls >= 100 AS p99_known,
    e.gap_ns / nullif(e.gap_weight, 0) / 1e6 AS gap_ms,
    coalesce(w.share, 0) AS critical_path_share,
    CASE WHEN e.failed_parents >= 20 THEN e.failed_errors / e.failed_weight END AS failure_propagation,
    CASE WHEN e.other_parents > 0 THEN greatest(e.other_errors / e.other_weight, 0) END AS base_rate,
    CASE WHEN e.attempts > e.retries THEN e.attempts / (e.attempts - e.retries) END AS retry_amplification,
    e.caller_type,
    e.caller_namespace,
    e.callee_type,
    e.callee_namespace
FROM sums AS e
LEFT JOIN callers AS c
    ON c.environment IS NOT DISTINCT FROM e.environment
    AND c.type = e.caller_type
    AND c.namespace IS NOT DISTINCT FROM e.caller_namespace
    AND c.name = e.caller
LEFT JOIN waits AS w
    ON w.environment IS NOT DISTINCT FROM e.environment
    AND w.caller = e.caller
    AND w.callee = e.callee
LEFT JOIN store.latency_quantiles AS q
    ON q.of = 'edge'
    AND q.environment IS NOT DISTINCT FROM e.environment
    AND q.key = [
        e.caller_type, e.caller_namespace, e.caller, e.callee_type, e.callee_namespace, e.callee, e.mode
    ]
ORDER BY e.client_ns + e.server_ns DESC, e.caller, e.callee;
