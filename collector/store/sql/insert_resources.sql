INSERT INTO store.resources BY NAME
SELECT
    (SELECT count(*) FROM store.resources) + row_number() OVER () - 1 AS id,
    fresh.*
FROM (
    SELECT DISTINCT ON (digest) *
    FROM incoming_resources
    WHERE digest NOT IN (SELECT digest FROM store.resources WHERE digest IS NOT NULL)
) AS fresh;
