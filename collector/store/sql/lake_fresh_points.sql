-- As fresh_points, of each collector by itself.
SELECT epoch_ns(m."time") // 60_000_000_000 AS minute, count(*) AS points
FROM store.metrics AS m
JOIN arrivals AS a ON a.collector = m.collector AND m.received > a.since AND m.received <= a.through
WHERE m.received > $since AND m.value IS NOT NULL AND m."time" IS NOT NULL
GROUP BY minute;
