-- The contract's view: all_spans without the column that is there for looking a trace up quickly.
CREATE OR REPLACE VIEW main.spans AS
SELECT * EXCLUDE (trace_uuid) FROM store.all_spans;
