-- Traces with one root that starts in a window, newest first. Filters on spans find any span of the trace; the counts
-- are looked up for the traces that are shown alone: over all that is stored they would take seconds.
WITH roots AS (
    SELECT trace_id, service_name, span_name, start_time, duration_ns, status_code
    FROM spans
    WHERE parent_span_id IS NULL
        AND start_time >= make_timestamp_ns($begin)
        AND start_time < make_timestamp_ns($end)
        AND $root
        AND trace_id IN (
            SELECT trace_id FROM spans
            WHERE start_time >= make_timestamp_ns($begin) AND start_time < make_timestamp_ns($end) AND $any_span
        )
    ORDER BY start_time DESC
    LIMIT $limit
)
SELECT
    r.trace_id,
    any_value(r.service_name) AS service,
    any_value(r.span_name) AS operation,
    any_value(r.start_time) AS start_time,
    any_value(r.duration_ns) / 1e6 AS duration_ms,
    any_value(r.status_code) AS status,
    count(*) AS spans,
    count(DISTINCT s.service_name) AS services,
    count(*) FILTER (s.status_code = 'error') AS errors
FROM roots AS r
JOIN spans AS s
    ON s.trace_id = r.trace_id
    AND s.start_time >= (SELECT min(start_time) FROM roots)
GROUP BY r.trace_id
ORDER BY start_time DESC;
