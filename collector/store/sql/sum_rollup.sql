-- What is kept of the minutes in [begin, end) of one environment, added up by everything that is no number.
SELECT $columns
FROM store.$table
WHERE minute >= $$begin AND minute < $$end AND coalesce(environment, '') = $$environment
GROUP BY ALL;
