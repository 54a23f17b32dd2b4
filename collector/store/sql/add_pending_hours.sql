-- No ON CONFLICT: a lake has no keys.
INSERT INTO store.pending_hours
SELECT DISTINCT minute // 60
FROM (SELECT unnest($minutes::BIGINT[]) AS minute)
WHERE minute // 60 NOT IN (SELECT hour FROM store.pending_hours);
