INSERT OR IGNORE INTO store.pending_hours
SELECT DISTINCT unnest($minutes::BIGINT[]) // 60;
