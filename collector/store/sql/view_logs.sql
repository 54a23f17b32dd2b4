-- A list indexed by a dense id: half the cost of a join.
CREATE OR REPLACE VIEW main.logs AS
SELECT
    "time",
    observed_time,
    trace_id,
    span_id,
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
    scope_id,
    (SELECT list(environment ORDER BY id) FROM store.resources)[resource_id + 1] AS environment
FROM store.plain_logs;
