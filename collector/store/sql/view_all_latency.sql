-- All that is kept of rollup_latency, the hours that are over as their sums.
CREATE OR REPLACE VIEW store.all_latency AS
FROM store.hourly_latency
UNION ALL
FROM store.rollup_latency WHERE minute >= (SELECT minute FROM store.hours_through);
