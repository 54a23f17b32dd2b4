INSERT INTO store.metrics BY NAME
SELECT
    $$received AS received,
    i.* EXCLUDE (attribute_keys, attribute_values, shape, resource, scope),
    $attributes AS attributes,
    r.id AS resource_id,
    s.id AS scope_id,
    r.service_name,
    r.service_instance_id
FROM incoming_metrics AS i
JOIN store.resources AS r ON r.digest = i.resource
JOIN store.scopes AS s ON s.digest = i.scope;
