INSERT INTO store.$hours BY NAME
SELECT minute // 60 * 60 AS minute, $columns
FROM store.$table
WHERE minute >= (SELECT min(unnest) FROM unnest($$hours::BIGINT[]))
    AND minute < (SELECT max(unnest) + 60 FROM unnest($$hours::BIGINT[]))
    AND minute // 60 * 60 IN (SELECT unnest($$hours::BIGINT[]))
GROUP BY ALL;
