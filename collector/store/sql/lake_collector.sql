-- A collector's own place in its own durable log, and the digests of its last requests. In tables of its own, since a
-- lake sees a conflict wherever two change one table: this one conflicts with nobody but a second process with its name.
CREATE TABLE IF NOT EXISTS store.position_$collector (segment BIGINT, "offset" BIGINT, received TIMESTAMP);
INSERT INTO store.position_$collector
SELECT 0, 0, TIMESTAMP '1970-01-01' WHERE NOT EXISTS (FROM store.position_$collector);
CREATE TABLE IF NOT EXISTS store.requests_$collector (received TIMESTAMP NOT NULL, digest BLOB NOT NULL);
