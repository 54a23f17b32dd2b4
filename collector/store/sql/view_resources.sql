-- What the spans, logs and metrics of one process have in common, once each.
CREATE OR REPLACE VIEW main.resources AS
SELECT
    id AS resource_id,
    environment,
    service_name,
    service_namespace,
    service_version,
    service_instance_id,
    attributes,
    attribute_types,
    dropped_attributes_count,
    entity_refs,
    schema_url
FROM store.resources
WHERE digest IS NOT NULL;
