-- All settled traces by node of the service graph, from the rollups.
CREATE OR REPLACE VIEW main.services AS
WITH windows AS (
    SELECT
        environment,
        sum(weight) AS traces,
        max(end_unix_nano) - min(begin_unix_nano) AS observed
    FROM store.rollup_windows
    GROUP BY ALL
),
requests AS (
    SELECT environment, sum(weight) AS requests, sum(duration_ns) AS duration_ns
    FROM store.rollup_endpoints
    GROUP BY ALL
),
sums AS (
    SELECT
        environment,
        type,
        namespace,
        name,
        sum(COLUMNS(* EXCLUDE (minute, environment, type, namespace, name)))
    FROM store.rollup_nodes
    GROUP BY ALL
),
pairs AS (
    SELECT DISTINCT
        environment,
        [caller_type, caller_namespace, caller] AS caller,
        [callee_type, callee_namespace, callee] AS callee
    FROM store.rollup_edges
    WHERE caller_type <> 'user'
        AND [caller_type, caller_namespace, caller] <> [callee_type, callee_namespace, callee]
),
fans AS (
    SELECT environment, node, sum(comes)::BIGINT AS fan_in, sum(goes)::BIGINT AS fan_out
    FROM (
        SELECT environment, callee AS node, 1 AS comes, 0 AS goes FROM pairs
        UNION ALL
        SELECT environment, caller, 0, 1 FROM pairs
    )
    GROUP BY ALL
),
paths AS (
    SELECT *, sum(tail_ns) OVER (PARTITION BY environment) AS all_tail_ns
    FROM store.path_parts
)
SELECT
    n.environment,
    n.name,
    n.type,
    n.calls::BIGINT AS calls,
    n.errors / nullif(n.weight, 0) AS error_rate,
    q.p50_ms,
    q.p95_ms,
    q.p99_ms,
    n.calls >= 100 AS p99_known,
    CASE WHEN n.type = 'service' THEN n.self_ns / nullif(w.traces, 0) / 1e6 END AS self_time_ms,
    coalesce(p.ns / nullif(r.requests, 0) / 1e6, 0) AS critical_path_ms,
    coalesce(p.ns / nullif(r.duration_ns, 0), 0) AS critical_path_share,
    coalesce(p.tail_ns / nullif(p.all_tail_ns, 0), 0) AS tail_critical_path_share,
    -- The tail is a twentieth of all requests and the middle a fifth.
    (p.tail_ns - p.middle_ns / 4) / nullif(r.requests / 20, 0) / 1e6 AS tail_excess_ms,
    CASE WHEN n.type <> 'user' THEN least(n.needed / nullif(r.requests, 0), 1) END AS blast_radius,
    coalesce(f.fan_in, 0) AS fan_in,
    coalesce(f.fan_out, 0) AS fan_out,
    f.fan_out / (f.fan_in + f.fan_out) AS instability,
    n.total_ns / nullif(w.observed, 0) AS concurrency,
    s.saturation,
    s.saturation_source,
    n.namespace
FROM sums AS n
JOIN windows AS w ON w.environment IS NOT DISTINCT FROM n.environment
LEFT JOIN requests AS r ON r.environment IS NOT DISTINCT FROM n.environment
LEFT JOIN fans AS f
    ON f.environment IS NOT DISTINCT FROM n.environment
    AND f.node = [n.type, n.namespace, n.name]
LEFT JOIN paths AS p
    ON p.kind = 'service'
    AND p.environment IS NOT DISTINCT FROM n.environment
    AND p.type = n.type
    AND p.namespace IS NOT DISTINCT FROM n.namespace
    AND p.name = n.name
LEFT JOIN store.saturations AS s
    ON n.type = 'service'
    AND s.environment IS NOT DISTINCT FROM n.environment
    AND s.namespace IS NOT DISTINCT FROM n.namespace
    AND s.service = n.name
LEFT JOIN store.latency_quantiles AS q
    ON q.of = 'node'
    AND q.environment IS NOT DISTINCT FROM n.environment
    AND q.key = [n.type, n.namespace, n.name]
ORDER BY critical_path_ms DESC, n.name;
