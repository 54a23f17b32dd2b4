SELECT
    from_hex(replace(s.trace_id::VARCHAR, '-', '')) AS trace_id,
    s.span_id,
    s.kind::VARCHAR AS kind,
    r.digest AS resource,
    s.start_time,
    s.duration_ns
FROM store.spans AS s
JOIN store.resources AS r ON r.id = s.resource_id
WHERE s.received >= $since;
