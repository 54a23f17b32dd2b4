-- The minutes whose traces got spans, or that got points of metrics, that were received in (since, through], and how
-- many these are: all spans of the minutes' traces, and the new points; late are those that are new. A span that starts
-- before all that its trace had moves the trace to another minute: both are touched.
WITH fresh AS (
    SELECT trace_id, min(start_time) AS earliest
    FROM store.spans
    WHERE received > $since AND received <= $through
    GROUP BY trace_id
),
whole AS (
    SELECT
        min(start_time) AS earliest,
        min(start_time) FILTER (received <= $since) AS was_earliest,
        count(*) AS spans,
        count(*) FILTER (received > $since) AS late
    FROM store.spans
    WHERE start_time >= (SELECT min(earliest) FROM fresh) - to_microseconds($horizon // 1000)
        AND start_time < (SELECT max(earliest) FROM fresh) + to_microseconds($horizon // 1000)
        AND received <= $through
        AND trace_id IN (SELECT trace_id FROM fresh)
    GROUP BY trace_id
)
SELECT minute, sum(spans)::BIGINT AS spans, sum(late)::BIGINT AS late
FROM (
    SELECT epoch_ns(earliest) // 60_000_000_000 AS minute, spans, late FROM whole
    UNION ALL
    SELECT epoch_ns(was_earliest) // 60_000_000_000, 0, 0 FROM whole WHERE was_earliest <> earliest
    UNION ALL
    SELECT epoch_ns("time") // 60_000_000_000, 1, 1
    FROM store.metrics
    WHERE received > $since AND received <= $through AND value IS NOT NULL AND "time" IS NOT NULL
)
GROUP BY minute
ORDER BY minute;
