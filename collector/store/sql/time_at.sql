SELECT epoch_ns(quantile_disc(t, $share))
FROM (
    SELECT start_time AS t FROM store.spans
    UNION ALL
    SELECT coalesce("time", observed_time, received::TIMESTAMP_NS) FROM store.logs
    UNION ALL
    SELECT coalesce("time", received::TIMESTAMP_NS) FROM store.metrics
);
