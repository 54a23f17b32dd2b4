INSERT INTO store.scopes BY NAME
SELECT
    (SELECT count(*) FROM store.scopes) + row_number() OVER () - 1 AS id,
    fresh.*
FROM (
    SELECT DISTINCT ON (digest) *
    FROM incoming_scopes
    WHERE digest NOT IN (SELECT digest FROM store.scopes WHERE digest IS NOT NULL)
) AS fresh;
