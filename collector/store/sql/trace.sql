SELECT * FROM main.trace_spans('$trace_id');
