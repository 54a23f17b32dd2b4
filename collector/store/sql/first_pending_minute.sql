-- The first minute of [begin, end) that waits, and up to where spans may be gone.
SELECT
    (SELECT min(minute) FROM store.pending_minutes WHERE minute >= $begin AND minute < $end) AS first_pending,
    unix_nano AS deleted_before
FROM store.deleted_before;
