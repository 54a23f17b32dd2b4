-- As traces_of_minutes, of each collector up to where it was looked at.
SELECT DISTINCT epoch_ns(s.start_time) // 60_000_000_000 AS minute, hash(s.trace_id) AS trace
FROM store.spans AS s
JOIN arrivals AS a ON a.collector = s.collector AND s.received <= a.since
WHERE s.start_time >= make_timestamp_ns($begin)
    AND s.start_time < make_timestamp_ns($end)
    AND s.received <= $since;
