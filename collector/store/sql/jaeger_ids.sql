-- Traces by their ids.
SELECT trace_uuid, min(start_time) AS first, max(start_time) AS latest
FROM store.all_spans
WHERE trace_uuid IN ($ids)
GROUP BY trace_uuid;
