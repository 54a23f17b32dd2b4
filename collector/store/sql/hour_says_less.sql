-- Whether a new judgement of an hour, of so many traces, would replace one of more of which some have been deleted.
SELECT $hour * 3_600_000_000_000 < (SELECT unix_nano FROM store.deleted_before)
    AND $traces < (SELECT coalesce(sum(traces / share), 0) FROM store.hour_index WHERE hour = $hour);
