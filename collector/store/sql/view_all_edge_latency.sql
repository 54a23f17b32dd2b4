-- All that is kept of rollup_edge_latency, the hours that are over as their sums.
CREATE OR REPLACE VIEW store.all_edge_latency AS
FROM store.hourly_edge_latency
UNION ALL
FROM store.rollup_edge_latency WHERE minute >= (SELECT minute FROM store.hours_through);
