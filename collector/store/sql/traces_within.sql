-- The spans of the traces whose earliest span starts in [begin, end), one part of them by a hash of the trace id.
-- A horizon bounds how far a trace may reach: without it every question about a minute would read all that is stored.
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
    http_method,
    http_route,
    http_status_code,
    rpc_system,
    rpc_method,
    db_system,
    db_namespace,
    db_operation,
    messaging_system,
    messaging_destination,
    messaging_operation,
    server_address,
    server_port,
    peer_service,
    CASE WHEN len(links) > 0 THEN list_transform(links, lambda l: {trace_id: l.trace_id, span_id: l.span_id}) END
        AS links
FROM store.spans
WHERE start_time >= make_timestamp_ns($begin)
    AND start_time < make_timestamp_ns($end + $horizon)
    AND trace_id IN (
        SELECT trace_id FROM store.spans
        WHERE start_time >= make_timestamp_ns($begin - $horizon) AND start_time < make_timestamp_ns($end)
            AND hash(trace_id) % $parts = $part
        GROUP BY trace_id
        HAVING min(start_time) >= make_timestamp_ns($begin)
    );
