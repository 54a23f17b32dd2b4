INSERT INTO store.scopes BY NAME
SELECT
    (SELECT coalesce(max(id), -1) FROM store.scopes) + row_number() OVER () AS id,
    fresh.*
FROM (
    SELECT DISTINCT ON (digest) *
    FROM incoming_scopes
    WHERE digest NOT IN (SELECT digest FROM store.scopes)
) AS fresh;
