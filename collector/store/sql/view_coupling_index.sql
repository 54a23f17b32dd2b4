-- The coupling index of each hour; share is how much of the hour's traces was looked at.
CREATE OR REPLACE VIEW main.coupling_index AS
SELECT
    make_timestamp(hour * 3600000000) AS hour,
    nullif(environment, '') AS environment,
    score,
    grade,
    components,
    lowers,
    missing,
    traces,
    share
FROM store.hour_index
ORDER BY hour DESC, environment;
