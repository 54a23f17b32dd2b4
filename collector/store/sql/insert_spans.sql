-- The expression for attributes is written for each batch: see attribute_map.py. (Not named here: it would be put in.)
INSERT INTO store.spans BY NAME
SELECT
    $$received AS received,
    i.* EXCLUDE (attribute_keys, attribute_values, shape, resource, scope),
    $attributes AS attributes,
    r.id AS resource_id,
    s.id AS scope_id,
    r.environment,
    r.service_name
FROM incoming_spans AS i
JOIN store.resources AS r ON r.digest = i.resource
JOIN store.scopes AS s ON s.digest = i.scope;
