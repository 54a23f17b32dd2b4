-- Resources and scopes that retention has left without rows; else every pod that ever lived would slow every join.
DELETE FROM store.${table}s
WHERE id NOT IN (
    SELECT ${table}_id FROM store.spans
    UNION SELECT ${table}_id FROM store.logs
    UNION SELECT ${table}_id FROM store.metrics
);
