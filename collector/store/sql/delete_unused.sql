-- Resources and scopes that retention has left without rows; else every pod that ever lived would slow the views, which
-- list them all. The row stays, so that ids stay dense.
UPDATE store.${table}s
SET digest = NULL, attributes = NULL, attribute_types = NULL
WHERE digest IS NOT NULL AND id NOT IN (
    SELECT ${table}_id FROM store.spans
    UNION SELECT ${table}_id FROM store.logs
    UNION SELECT ${table}_id FROM store.metrics
);
