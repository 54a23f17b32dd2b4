-- The traces that got spans in (since, through], the minute of the earliest of these, and how many they are.
SELECT
    hash(trace_id) AS trace,
    epoch_ns(min(start_time)) // 60_000_000_000 AS minute,
    count(*) AS spans
FROM store.spans
WHERE received > $since AND received <= $through
GROUP BY trace_id;
