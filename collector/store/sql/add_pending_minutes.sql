-- There is to read what was read when the minute was last analysed, and what came since.
INSERT INTO store.pending_minutes
SELECT minute, late + coalesce(kept.spans, 0), late
FROM (SELECT unnest($minutes::BIGINT[]) AS minute, unnest($late::BIGINT[]) AS late)
LEFT JOIN (
    SELECT minute, round(sum(spans / kept))::BIGINT AS spans
    FROM store.rollup_windows
    WHERE minute IN (SELECT unnest($minutes::BIGINT[]))
    GROUP BY minute
) AS kept USING (minute)
ON CONFLICT (minute) DO UPDATE SET spans = pending_minutes.spans + excluded.late, late = pending_minutes.late + excluded.late;
