-- Points of a window by the names that say something about a resource, with who sent them.
SELECT
    "time",
    start_time,
    service_name,
    service_instance_id,
    metric_name,
    unit,
    value,
    aggregation_temporality,
    is_monotonic,
    attributes,
    resource_attributes
FROM main.metrics
WHERE metric_name IN (SELECT unnest($names::VARCHAR[]))
    AND value IS NOT NULL
    AND "time" >= make_timestamp_ns($begin)
    AND "time" < make_timestamp_ns($end);
