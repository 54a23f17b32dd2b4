-- The share of the rows in the file that are not deleted: a row group gives its space back only when all of it is.
WITH kept AS (
    SELECT
        (SELECT count(*) FROM store.spans)
        + (SELECT count(*) FROM store.logs)
        + (SELECT count(*) FROM store.metrics) AS rows
),
stored AS (
    SELECT sum(count) AS rows
    FROM (
        SELECT * FROM pragma_storage_info('store.spans')
        UNION ALL SELECT * FROM pragma_storage_info('store.logs')
        UNION ALL SELECT * FROM pragma_storage_info('store.metrics')
    )
    WHERE column_name = 'received' AND segment_type <> 'VALIDITY'
)
SELECT least(1.0, kept.rows / nullif(stored.rows, 0)) FROM kept, stored;
