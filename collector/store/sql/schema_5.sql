-- Version 5. What is kept of a minute outlives its spans: up to where retention has deleted is remembered, so that a late
-- span does not have a minute analysed anew of which the others are gone.

-- One row, Unix nanoseconds: spans and points that started before may be gone.
CREATE TABLE store.deleted_before (unix_nano BIGINT NOT NULL);

-- A kept minute without a span is one whose spans were deleted, and the one after it may have been, in part.
INSERT INTO store.deleted_before
SELECT coalesce(max(minute) + 2, 0) * 60_000_000_000
FROM store.rollup_windows
WHERE minute NOT IN (SELECT epoch_ns(start_time) // 60_000_000_000 FROM store.spans);

-- How many spans and points came since the minute was analysed.
ALTER TABLE store.pending_minutes ADD COLUMN late BIGINT DEFAULT 0;
