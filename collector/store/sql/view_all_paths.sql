-- All that is kept of rollup_paths, the hours that are over as their sums.
CREATE OR REPLACE VIEW store.all_paths AS
FROM store.hourly_paths
UNION ALL
FROM store.rollup_paths WHERE minute >= (SELECT minute FROM store.hours_through);
