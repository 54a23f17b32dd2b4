-- By row number and in scan order, which is the order of arrival: whole row groups empty first, and an empty row group
-- gives its blocks back at the next checkpoint.
DELETE FROM store.$table
WHERE rowid IN (
    SELECT rowid FROM store.$table
    WHERE $time < make_timestamp_ns($$unix_nano)
    LIMIT $$rows
);
