-- The fullest resource of each service: that with the highest minute, of equal ones that with the highest mean.
CREATE OR REPLACE VIEW store.saturations AS
WITH used AS (
    SELECT
        environment,
        namespace,
        service,
        max(utilisation) AS most,
        avg(utilisation) AS mean,
        resource || ': ' || concat_ws(' ', metric, 'on ' || instance, '(' || nullif(part, '') || ')') AS source
    FROM store.rollup_resources
    WHERE utilisation IS NOT NULL
    GROUP BY ALL
)
SELECT
    environment,
    namespace,
    service,
    max(most) AS saturation,
    arg_max(source, (most, mean)) AS saturation_source
FROM used
GROUP BY ALL;
