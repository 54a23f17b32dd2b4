-- The minutes that got points of metrics in (since, through], and how many.
SELECT epoch_ns("time") // 60_000_000_000 AS minute, count(*) AS points
FROM store.metrics
WHERE received > $since AND received <= $through AND value IS NOT NULL AND "time" IS NOT NULL
GROUP BY minute;
