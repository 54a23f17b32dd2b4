-- All settled traces by endpoint, from the rollups.
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
    t.traces >= 100 AS p99_known,
    t.namespace
FROM totals AS t
LEFT JOIN store.latency_quantiles AS q
    ON q.of = 'endpoint'
    AND q.environment IS NOT DISTINCT FROM t.environment
    AND q.key = [t.namespace, t.service, t.operation]
ORDER BY t.duration_ns DESC;
