-- Up to where hours are there, and up to where they can be: all before that of the newest minute. One that a sender with a
-- wrong clock put into the future does not count.
SELECT
    minute AS through,
    greatest(minute, coalesce((SELECT max(minute) FROM store.rollup_windows WHERE minute < $latest), 0) // 60 * 60)
FROM store.hours_through;
