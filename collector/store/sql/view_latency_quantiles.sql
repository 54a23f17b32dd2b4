-- The quantiles of endpoints, nodes and edges, each "of" which is told by its key, as analytics/quantiles.py defines them:
-- a bucket's values are its geometric middle (base-2 exponential histogram at scale 6, at most 0.54 % off); q lies at place
-- q * (n - 1), and where that is between two values, on the line between them.
CREATE OR REPLACE VIEW store.latency_quantiles AS
WITH buckets AS (
    SELECT 'endpoint' AS of, environment, [namespace, service, operation] AS key, bucket, weight
    FROM store.all_latency
    UNION ALL
    SELECT 'node', environment, [type, namespace, name], bucket, weight
    FROM store.all_node_latency
    UNION ALL
    SELECT
        'edge',
        environment,
        [caller_type, caller_namespace, caller, callee_type, callee_namespace, callee, mode],
        bucket,
        weight
    FROM store.all_edge_latency
),
sums AS (
    SELECT of, environment, key, bucket, sum(weight) AS weight
    FROM buckets
    GROUP BY ALL
),
places AS (
    SELECT
        of,
        environment,
        key,
        CASE WHEN bucket < -1 THEN 0.0 ELSE pow(2, (bucket + 0.5) / 64) / 1e6 END AS ms,
        lead(ms, 1, ms) OVER ordered AS next_ms,
        sum(weight) OVER ordered AS upto,
        upto - weight AS place,
        place + greatest(weight - 1, 0) AS flat_until,
        greatest(sum(weight) OVER (PARTITION BY of, environment, key) - 1, 0) AS last_place
    FROM sums
    WINDOW ordered AS (PARTITION BY of, environment, key ORDER BY bucket)
),
wanted AS (
    SELECT
        *,
        round(unnest([0.5, 0.95, 0.99]) * last_place, 9) AS wanted,
        unnest([50, 95, 99]) AS percent
    FROM places
),
found AS (
    SELECT
        of,
        environment,
        key,
        percent,
        ms + (next_ms - ms) * coalesce(greatest(wanted - flat_until, 0) / nullif(upto - flat_until, 0), 0) AS ms
    FROM wanted
    WHERE place <= wanted AND wanted < upto
)
SELECT
    of,
    environment,
    key,
    min(ms) FILTER (percent = 50) AS p50_ms,
    min(ms) FILTER (percent = 95) AS p95_ms,
    min(ms) FILTER (percent = 99) AS p99_ms
FROM found
GROUP BY ALL;
