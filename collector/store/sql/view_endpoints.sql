-- All settled traces by endpoint, from the rollups. A quantile is the geometric middle of the bucket that holds it: base-2
-- exponential histogram at scale 6, at most 0.54 % off.
CREATE OR REPLACE VIEW main.endpoints AS
WITH totals AS (
    SELECT
        environment,
        namespace,
        service,
        operation,
        sum(traces)::BIGINT AS traces,
        sum(weight) AS weight,
        sum(errors) AS errors,
        sum(duration_ns) AS duration_ns
    FROM store.rollup_endpoints
    GROUP BY ALL
),
buckets AS (
    SELECT environment, namespace, service, operation, bucket, sum(weight) AS weight
    FROM store.rollup_latency
    GROUP BY ALL
),
places AS (
    SELECT
        environment,
        namespace,
        service,
        operation,
        CASE WHEN bucket < -1 THEN 0.0 ELSE pow(2, (bucket + 0.5) / 64) / 1e6 END AS ms,
        sum(weight) OVER endpoint AS upto,
        sum(weight) OVER (PARTITION BY environment, namespace, service, operation) AS total
    FROM buckets
    WINDOW endpoint AS (PARTITION BY environment, namespace, service, operation ORDER BY bucket)
),
quantiles AS (
    SELECT
        environment,
        namespace,
        service,
        operation,
        min(ms) FILTER (upto > 0.5 * (total - 1)) AS p50_ms,
        min(ms) FILTER (upto > 0.95 * (total - 1)) AS p95_ms,
        min(ms) FILTER (upto > 0.99 * (total - 1)) AS p99_ms
    FROM places
    GROUP BY ALL
)
SELECT
    t.environment,
    t.service,
    t.operation,
    t.traces,
    t.errors / t.weight AS error_rate,
    t.duration_ns / t.weight / 1e6 AS mean_ms,
    q.p50_ms,
    q.p95_ms,
    q.p99_ms,
    t.namespace
FROM totals AS t
JOIN quantiles AS q
    ON t.environment IS NOT DISTINCT FROM q.environment
    AND t.namespace IS NOT DISTINCT FROM q.namespace
    AND t.service = q.service
    AND t.operation = q.operation
ORDER BY t.duration_ns DESC;
