-- There is to read what was read when the minute was last analysed, and what came since. A lake has no ON CONFLICT.
MERGE INTO store.pending_minutes AS p
USING (
    SELECT minute, late + coalesce(kept.spans, 0) AS spans, late
    FROM (SELECT unnest($minutes::BIGINT[]) AS minute, unnest($late::BIGINT[]) AS late)
    LEFT JOIN (
        SELECT minute, round(sum(spans / kept))::BIGINT AS spans
        FROM store.rollup_windows
        WHERE minute IN (SELECT unnest($minutes::BIGINT[]))
        GROUP BY minute
    ) AS kept USING (minute)
) AS n
ON p.minute = n.minute
WHEN MATCHED THEN UPDATE SET spans = p.spans + n.late, late = p.late + n.late
WHEN NOT MATCHED THEN INSERT (minute, spans, late) VALUES (n.minute, n.spans, n.late);
