-- The spans of some traces as Jaeger's JSON needs them; the trace with the latest find first, spans by their start.
WITH found AS ($found),
near AS (
    -- A trace reaches ten minutes from its earliest span, as for the analysis.
    SELECT
        min(first) - INTERVAL 10 MINUTES AS earliest,
        max(latest) + INTERVAL 10 MINUTES AS last
    FROM found
)
SELECT
    s.trace_id,
    s.span_id,
    s.parent_span_id,
    s.trace_state,
    s.service_name,
    s.span_name,
    s.kind,
    s.flags,
    s.start_unix_nano,
    s.duration_ns,
    s.status_code,
    s.status_message,
    s.attributes,
    s.attribute_types,
    s.resource_id,
    s.resource_attributes,
    s.scope_name,
    s.scope_version,
    list_transform(s.events, lambda e: {
        'unix_nano': epoch_ns(e.time),
        'name': e.name,
        'attributes': e.attributes,
        'attribute_types': e.attribute_types
    }) AS events,
    s.links
FROM store.all_spans AS s
JOIN found USING (trace_uuid)
WHERE s.start_time >= (SELECT earliest FROM near) AND s.start_time <= (SELECT last FROM near)
ORDER BY found.latest DESC, s.trace_id, s.start_time, s.span_id;
