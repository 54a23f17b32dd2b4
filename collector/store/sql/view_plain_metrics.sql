-- One row a data point. An integer point has its exact value in value_int and the nearest double in value.
-- Without the columns that are looked up in resources and scopes: a query that names none of them reads this view
-- (see lean.py), since a look-up costs a cross product even when its column is not asked for.
CREATE OR REPLACE VIEW store.plain_metrics AS
SELECT
    "time",
    start_time,
    service_name,
    service_instance_id,
    metric_name,
    description,
    unit,
    type,
    aggregation_temporality,
    is_monotonic,
    value,
    value_int,
    count,
    sum,
    min,
    max,
    bucket_counts,
    explicit_bounds,
    scale,
    zero_count,
    zero_threshold,
    positive_offset,
    positive_bucket_counts,
    negative_offset,
    negative_bucket_counts,
    quantiles,
    exemplars,
    metadata,
    flags,
    attributes,
    attribute_types,
    resource_id,
    scope_id
FROM store.metrics;
