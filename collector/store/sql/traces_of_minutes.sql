-- Which traces had a span in each of the minutes of [begin, end), of those received until then.
SELECT DISTINCT epoch_ns(start_time) // 60_000_000_000 AS minute, hash(trace_id) AS trace
FROM store.spans
WHERE start_time >= make_timestamp_ns($begin)
    AND start_time < make_timestamp_ns($end)
    AND received <= $since;
