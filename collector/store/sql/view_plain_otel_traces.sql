-- The columns of the table that the OpenTelemetry Collector's ClickHouse exporter keeps spans in, so that queries
-- written for it can be asked here. Values are those that it writes today (SpanKind 'Server', StatusCode 'Error'; until
-- August 2024 they were 'SPAN_KIND_SERVER' and 'STATUS_CODE_ERROR'); what is absent is '' as there, not NULL.
-- A nested column of ClickHouse is several arrays of one length: a struct of lists, so that Events.Name needs no quotes.
-- Without the columns that are looked up in resources and scopes, as plain_spans is (see lean.py).
CREATE OR REPLACE VIEW store.plain_otel_traces AS
SELECT
    start_time AS "Timestamp",
    trace_id AS "TraceId",
    span_id AS "SpanId",
    coalesce(parent_span_id, '') AS "ParentSpanId",
    coalesce(trace_state, '') AS "TraceState",
    span_name AS "SpanName",
    CASE kind
        WHEN 'internal' THEN 'Internal'
        WHEN 'server' THEN 'Server'
        WHEN 'client' THEN 'Client'
        WHEN 'producer' THEN 'Producer'
        WHEN 'consumer' THEN 'Consumer'
        ELSE 'Unspecified'
    END AS "SpanKind",
    service_name AS "ServiceName",
    coalesce(attributes, MAP {}::MAP(VARCHAR, VARCHAR)) AS "SpanAttributes",
    -- Of a span that ends before it starts the exporter writes a number that has wrapped around: 0 says less nonsense.
    greatest(duration_ns, 0)::UBIGINT AS "Duration",
    CASE status_code WHEN 'ok' THEN 'Ok' WHEN 'error' THEN 'Error' ELSE 'Unset' END AS "StatusCode",
    coalesce(status_message, '') AS "StatusMessage",
    struct_pack(
        "Timestamp" := coalesce(list_transform(events, lambda e: e."time"), []::TIMESTAMP_NS[]),
        "Name" := coalesce(list_transform(events, lambda e: coalesce(e.name, '')), []::VARCHAR[]),
        "Attributes" := coalesce(
            list_transform(events, lambda e: coalesce(e.attributes, MAP {}::MAP(VARCHAR, VARCHAR))),
            []::MAP(VARCHAR, VARCHAR)[]
        )
    ) AS "Events",
    struct_pack(
        "TraceId" := coalesce(list_transform(links, lambda l: coalesce(l.trace_id, '')), []::VARCHAR[]),
        "SpanId" := coalesce(list_transform(links, lambda l: coalesce(l.span_id, '')), []::VARCHAR[]),
        "TraceState" := coalesce(list_transform(links, lambda l: coalesce(l.trace_state, '')), []::VARCHAR[]),
        "Attributes" := coalesce(
            list_transform(links, lambda l: coalesce(l.attributes, MAP {}::MAP(VARCHAR, VARCHAR))),
            []::MAP(VARCHAR, VARCHAR)[]
        )
    ) AS "Links",
    resource_id,
    scope_id
FROM store.plain_spans;
