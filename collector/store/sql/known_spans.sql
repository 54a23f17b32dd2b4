-- received is constant within an append, so that whole row groups outside the window are skipped.
SELECT DISTINCT suspects.row
FROM suspects
JOIN store.resources AS r ON r.digest = suspects.resource
JOIN store.spans AS s
    ON s.trace_id = suspects.trace_id
    AND s.span_id = suspects.span_id
    AND s.kind::VARCHAR = suspects.kind
    AND s.resource_id = r.id
    AND s.start_time = suspects.start_time
    AND s.duration_ns = suspects.duration_ns
WHERE s.received >= $since;
