-- Whether a new judgement of an hour, of so many traces, would replace one of more of which some have been deleted.
SELECT $hour < (SELECT (unix_nano + 3_599_999_999_999) // 3_600_000_000_000 FROM store.deleted_before)
    AND $traces < (SELECT coalesce(sum(traces / share), 0) FROM store.hour_index WHERE hour = $hour);
