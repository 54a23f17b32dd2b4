-- SELECT * FROM trace_spans('…'): the spans of one trace by its UUID, 40 times faster than by its text.
CREATE OR REPLACE MACRO main.trace_spans(wanted) AS TABLE
SELECT * EXCLUDE (trace_uuid)
FROM store.all_spans
WHERE trace_uuid = wanted::UUID
ORDER BY start_time, span_id;
