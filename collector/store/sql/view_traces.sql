-- Grouped by the UUID and written as hex afterwards, so that a filter on trace_id still reaches the scan.
CREATE OR REPLACE VIEW main.traces AS
SELECT
    replace(trace_id::VARCHAR, '-', '') AS trace_id,
    arg_min(service_name, start_time) FILTER (parent_span_id IS NULL) AS root_service,
    arg_min(span_name, start_time) FILTER (parent_span_id IS NULL) AS root_name,
    min(start_time) AS start_time,
    arg_min(duration_ns, start_time) FILTER (parent_span_id IS NULL) AS duration_ns,
    count(*) AS span_count,
    count(DISTINCT service_name) AS service_count,
    count(*) FILTER (status_code = 'error') AS error_count,
    count(*) FILTER (parent_span_id IS NULL) = 1
    AND list_has_all(
        list(span_id),
        coalesce(list(parent_span_id) FILTER (parent_span_id IS NOT NULL), [])
    ) AS complete,
    coalesce(
        arg_min(environment, start_time) FILTER (parent_span_id IS NULL),
        arg_min(environment, start_time)
    ) AS environment
FROM store.spans
GROUP BY store.spans.trace_id;
