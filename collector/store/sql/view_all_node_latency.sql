-- All that is kept of rollup_node_latency, the hours that are over as their sums.
CREATE OR REPLACE VIEW store.all_node_latency AS
FROM store.hourly_node_latency
UNION ALL
FROM store.rollup_node_latency WHERE minute >= (SELECT minute FROM store.hours_through);
