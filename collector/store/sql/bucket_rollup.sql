-- What is kept of some minutes of one environment, added up by buckets of $$width minutes and by everything that is no
-- number; of whole hours, for buckets of hours, the sums are there already.
SELECT minute // $$width * $$width AS minute, $columns
FROM (
    FROM store.$table WHERE minute >= $$begin AND minute < $$first_hour
    UNION ALL
    FROM store.$hours WHERE minute >= $$first_hour AND minute < $$last_hour
    UNION ALL
    FROM store.$table WHERE minute >= $$last_hour AND minute < $$end
)
WHERE coalesce(environment, '') = $$environment AND $condition
GROUP BY ALL;
