-- As fresh_traces, of each collector by itself: arrivals has (since, through] of each that got something.
SELECT
    hash(s.trace_id) AS trace,
    epoch_ns(min(s.start_time)) // 60_000_000_000 AS minute,
    count(*) AS spans
FROM store.spans AS s
JOIN arrivals AS a ON a.collector = s.collector AND s.received > a.since AND s.received <= a.through
WHERE s.received > $since
GROUP BY s.trace_id;
