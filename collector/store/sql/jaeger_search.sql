-- The traces that a span like this is in, those with the latest such span first.
SELECT trace_uuid, min(start_time) AS first, max(start_time) AS latest
FROM store.all_spans
WHERE start_time >= make_timestamp_ns($begin) AND start_time < make_timestamp_ns($end) AND $any_span
GROUP BY trace_uuid
ORDER BY latest DESC
LIMIT $limit;
