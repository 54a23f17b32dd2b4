-- The spans of the traces whose earliest span starts in [begin, end), one part of them by a hash of the trace id.
-- A horizon, which first and last are from these, bounds how far a trace may reach: without it every question about a minute would read all that is stored.
-- Ids stay numbers, the trace's is its 16 bytes (36 ns a row; as text 51 and as much again to read it), and links come
-- only where there are any.
SELECT
    trace_id::BLOB AS trace_id,
    span_id,
    parent_span_id,
    resource_id,
    span_name,
    kind,
    epoch_ns(start_time) AS start_unix_nano,
    duration_ns,
    status_code,
    trace_state,
    $well_known,
    CASE WHEN len(links) > 0 THEN list_transform(links, lambda l: {trace_id: l.trace_id, span_id: l.span_id}) END
        AS links,
    CASE WHEN db_system IS NOT NULL THEN left($db_statement, 1000) END AS db_statement,
    CASE WHEN db_system IS NOT NULL THEN $db_collection END AS db_collection,
    CASE WHEN kind = 'client' THEN try_cast($resend_count AS INTEGER) END AS resend_count,
    CASE
        WHEN status_code = 'error'
            THEN coalesce($error_type, list_filter(events, lambda e: e.name = 'exception')[1].attributes['exception.type'])
    END AS error_type
FROM store.spans
WHERE start_time >= make_timestamp_ns($$begin)
    AND start_time < make_timestamp_ns($$last)
    AND trace_id IN (
        SELECT trace_id FROM store.spans
        WHERE start_time >= make_timestamp_ns($$first) AND start_time < make_timestamp_ns($$end)
            AND hash(trace_id) % $$parts = $$part
        GROUP BY trace_id
        HAVING min(start_time) >= make_timestamp_ns($$begin)
    );
