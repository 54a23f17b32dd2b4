-- Where the time of all settled traces went: by node of the critical paths, of all requests, and of the middle (the fifth
-- from p40 to p60) and the tail (the slowest twentieth) of each endpoint. Latencies are kept by eighths of an octave; of
-- one that a bound falls into, a share counts.
CREATE OR REPLACE VIEW store.path_parts AS
WITH latencies AS (
    SELECT
        environment,
        namespace,
        service,
        operation,
        CASE WHEN bucket < -1 THEN bucket ELSE floor(bucket / 8)::SMALLINT END AS bucket,
        sum(weight) AS weight
    FROM store.all_latency
    GROUP BY ALL
),
places AS (
    SELECT
        *,
        sum(weight) OVER (PARTITION BY environment, namespace, service, operation ORDER BY bucket) AS upto,
        sum(weight) OVER (PARTITION BY environment, namespace, service, operation) AS total
    FROM latencies
),
parts AS (
    SELECT
        * EXCLUDE (weight, upto, total),
        greatest(least(upto, 0.6 * total) - greatest(upto - weight, 0.4 * total), 0) / weight AS middle,
        greatest(upto - greatest(upto - weight, 0.95 * total), 0) / weight AS tail
    FROM places
),
paths AS (
    SELECT
        environment,
        namespace,
        service,
        operation,
        bucket,
        kind,
        type,
        node_namespace,
        name,
        caller,
        callee,
        sum(critical_path_ns) AS ns
    FROM store.all_paths
    GROUP BY ALL
)
SELECT
    n.environment,
    n.kind,
    n.type,
    n.node_namespace AS namespace,
    n.name,
    n.caller,
    n.callee,
    sum(n.ns) AS ns,
    sum(n.ns * p.middle) AS middle_ns,
    sum(n.ns * p.tail) AS tail_ns
FROM paths AS n
JOIN parts AS p
    ON p.environment IS NOT DISTINCT FROM n.environment
    AND p.namespace IS NOT DISTINCT FROM n.namespace
    AND p.service = n.service
    AND p.operation = n.operation
    AND p.bucket = n.bucket
GROUP BY ALL;
