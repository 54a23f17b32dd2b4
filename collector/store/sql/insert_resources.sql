INSERT INTO store.resources BY NAME
SELECT
    (SELECT coalesce(max(id), -1) FROM store.resources) + row_number() OVER () AS id,
    fresh.*
FROM (
    SELECT DISTINCT ON (digest) *
    FROM incoming_resources
    WHERE digest NOT IN (SELECT digest FROM store.resources)
) AS fresh;
