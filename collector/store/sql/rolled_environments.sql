-- What is kept of the minutes in [begin, end), by environment, those with most traces first.
SELECT
    coalesce(environment, '') AS environment,
    sum(traces)::BIGINT AS traces,
    sum(spans)::BIGINT AS spans,
    min(minute) AS first_minute,
    max(minute) AS last_minute
FROM store.rollup_windows
WHERE minute >= $begin AND minute < $end
GROUP BY ALL
ORDER BY traces DESC, environment;
