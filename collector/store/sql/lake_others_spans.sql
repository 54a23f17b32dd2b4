-- The spans that other collectors have stored since we last looked: seen has up to where, for those that we know.
SELECT
    s.collector,
    s.received,
    from_hex(replace(s.trace_id::VARCHAR, '-', '')) AS trace_id,
    s.span_id,
    s.kind,
    r.digest AS resource,
    s.start_time,
    s.duration_ns
FROM store.spans AS s
JOIN store.resources AS r ON r.id = s.resource_id
LEFT JOIN seen ON seen.collector = s.collector
WHERE s.collector <> $collector
    AND s.received > $since
    AND s.received > coalesce(seen.received, $since);
