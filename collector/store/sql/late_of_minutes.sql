-- How many spans and points came for minutes that wait. (A lake's DELETE returns no rows.)
SELECT coalesce(sum(late), 0)::BIGINT FROM store.pending_minutes WHERE minute IN (SELECT unnest($minutes::BIGINT[]));
