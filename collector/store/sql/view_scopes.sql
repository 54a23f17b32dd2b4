-- The instrumentation libraries that recorded the telemetry, once each.
CREATE OR REPLACE VIEW main.scopes AS
SELECT
    id AS scope_id,
    name AS scope_name,
    version AS scope_version,
    attributes,
    attribute_types,
    dropped_attributes_count,
    schema_url
FROM store.scopes
WHERE digest IS NOT NULL;
