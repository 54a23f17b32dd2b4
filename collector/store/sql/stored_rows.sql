-- How many rows live, and how many the file holds: a row group keeps its deleted rows until all of it is deleted.
SELECT
    (SELECT count(*) FROM store.spans)
    + (SELECT count(*) FROM store.logs)
    + (SELECT count(*) FROM store.metrics) AS live,
    coalesce(sum(count), 0)::BIGINT AS stored
FROM (
    SELECT * FROM pragma_storage_info('store.spans')
    UNION ALL SELECT * FROM pragma_storage_info('store.logs')
    UNION ALL SELECT * FROM pragma_storage_info('store.metrics')
)
WHERE column_name = 'received' AND segment_type <> 'VALIDITY';
