-- OTLP allows a record without a time of its own; then the time it was observed stands in.
CREATE OR REPLACE VIEW main.logs AS
SELECT
    coalesce("time", observed_time) AS "time",
    observed_time,
    replace(trace_id::VARCHAR, '-', '') AS trace_id,
    lower(lpad(to_hex(span_id), 16, '0')) AS span_id,
    service_name,
    severity_text,
    severity_number,
    event_name,
    body,
    body_type,
    attributes,
    (SELECT list(attributes ORDER BY id) FROM store.resources)[resource_id + 1] AS resource_attributes,
    (SELECT list(name ORDER BY id) FROM store.scopes)[scope_id + 1] AS scope_name,
    (SELECT list(version ORDER BY id) FROM store.scopes)[scope_id + 1] AS scope_version,
    flags,
    attribute_types,
    dropped_attributes_count,
    resource_id,
    scope_id
FROM store.logs;
