-- OTLP allows a record without a time of its own; then the time it was observed stands in.
-- Without the columns that are looked up in resources and scopes: a query that names none of them reads this view
-- (see lean.py), since a look-up costs a cross product even when its column is not asked for.
CREATE OR REPLACE VIEW store.plain_logs AS
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
    flags,
    attribute_types,
    dropped_attributes_count,
    resource_id,
    scope_id
FROM store.logs;
