-- What is kept of the minutes in [begin, end) of one environment, added up by everything that is no number; of whole hours,
-- the sums are there already.
SELECT $columns
FROM (
    FROM store.$table WHERE minute >= $$begin AND minute < $$first_hour
    UNION ALL
    FROM store.$hours WHERE minute >= $$first_hour AND minute < $$last_hour
    UNION ALL
    FROM store.$table WHERE minute >= $$last_hour AND minute < $$end
)
WHERE coalesce(environment, '') = $$environment
GROUP BY ALL;
