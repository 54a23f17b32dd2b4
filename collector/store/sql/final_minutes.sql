-- Of some minutes those that are kept, and of which not all is there any longer that an analysis would read. It reads from
-- a horizon before the minute: a trace whose head is gone would else begin, and count, in a later minute too.
SELECT minute
FROM (SELECT unnest($minutes::BIGINT[]) AS minute)
-- The minute's number is compared, not its time: that of a far one is beyond 64 bits.
WHERE minute < (
    SELECT (unix_nano + $horizon + 59_999_999_999) // 60_000_000_000 FROM store.deleted_before WHERE unix_nano > 0
)
    AND (
        minute IN (SELECT minute FROM store.rollup_windows)
        OR minute IN (SELECT minute FROM store.rollup_resources)
    );
