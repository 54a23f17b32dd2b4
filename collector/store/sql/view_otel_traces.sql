-- In the exporter's order. A list indexed by a dense id: half the cost of a join.
CREATE OR REPLACE VIEW main.otel_traces AS
SELECT
    "Timestamp",
    "TraceId",
    "SpanId",
    "ParentSpanId",
    "TraceState",
    "SpanName",
    "SpanKind",
    "ServiceName",
    coalesce(
        (SELECT list(attributes ORDER BY id) FROM store.resources)[resource_id + 1],
        MAP {}::MAP(VARCHAR, VARCHAR)
    ) AS "ResourceAttributes",
    coalesce((SELECT list(name ORDER BY id) FROM store.scopes)[scope_id + 1], '') AS "ScopeName",
    coalesce((SELECT list(version ORDER BY id) FROM store.scopes)[scope_id + 1], '') AS "ScopeVersion",
    "SpanAttributes",
    "Duration",
    "StatusCode",
    "StatusMessage",
    "Events",
    "Links"
FROM store.plain_otel_traces;
