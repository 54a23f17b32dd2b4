-- The hours that are new, in [through, until), and those of $$hours, which lie before.
INSERT INTO store.$hours BY NAME
SELECT minute // 60 * 60 AS minute, $columns
FROM store.$table
WHERE minute >= $$begin
    AND minute < $$until
    AND (minute >= $$through OR minute // 60 * 60 IN (SELECT unnest($$hours::BIGINT[])))
GROUP BY ALL;
