-- Version 3. The rollups keep services, edges and resources too; analytics/schema.py (ROLLUPS) says what columns mean.

ALTER TABLE store.rollup_windows ADD COLUMN begin_unix_nano BIGINT;
ALTER TABLE store.rollup_windows ADD COLUMN end_unix_nano BIGINT;
ALTER TABLE store.rollup_paths ADD COLUMN node_namespace VARCHAR;

CREATE TABLE store.rollup_nodes (
    minute BIGINT NOT NULL,
    environment VARCHAR,
    type VARCHAR NOT NULL,
    namespace VARCHAR,
    name VARCHAR NOT NULL,
    calls BIGINT NOT NULL,
    weight DOUBLE NOT NULL,
    errors DOUBLE NOT NULL,
    total_ns DOUBLE NOT NULL,
    self_ns DOUBLE NOT NULL,
    takes_part DOUBLE NOT NULL,
    needed DOUBLE NOT NULL
);

CREATE TABLE store.rollup_node_latency (
    minute BIGINT NOT NULL,
    environment VARCHAR,
    type VARCHAR NOT NULL,
    namespace VARCHAR,
    name VARCHAR NOT NULL,
    bucket SMALLINT NOT NULL,
    weight DOUBLE NOT NULL
);

CREATE TABLE store.rollup_edges (
    minute BIGINT NOT NULL,
    environment VARCHAR,
    caller_type VARCHAR NOT NULL,
    caller_namespace VARCHAR,
    caller VARCHAR NOT NULL,
    callee_type VARCHAR NOT NULL,
    callee_namespace VARCHAR,
    callee VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    protocol VARCHAR,
    calls BIGINT NOT NULL,
    inferred_calls BIGINT NOT NULL,
    weight DOUBLE NOT NULL,
    errors DOUBLE NOT NULL,
    client_weight DOUBLE NOT NULL,
    client_ns DOUBLE NOT NULL,
    server_weight DOUBLE NOT NULL,
    server_ns DOUBLE NOT NULL,
    gap_weight DOUBLE NOT NULL,
    gap_ns DOUBLE NOT NULL,
    originated DOUBLE NOT NULL,
    propagated DOUBLE NOT NULL,
    suppressed DOUBLE NOT NULL,
    retries DOUBLE NOT NULL,
    attempts DOUBLE NOT NULL,
    failed_parents BIGINT NOT NULL,
    failed_weight DOUBLE NOT NULL,
    failed_errors DOUBLE NOT NULL,
    failed_squares DOUBLE NOT NULL,
    other_parents BIGINT NOT NULL,
    other_weight DOUBLE NOT NULL,
    other_errors DOUBLE NOT NULL
);

CREATE TABLE store.rollup_edge_latency (
    minute BIGINT NOT NULL,
    environment VARCHAR,
    caller_type VARCHAR NOT NULL,
    caller_namespace VARCHAR,
    caller VARCHAR NOT NULL,
    callee_type VARCHAR NOT NULL,
    callee_namespace VARCHAR,
    callee VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    bucket SMALLINT NOT NULL,
    weight DOUBLE NOT NULL
);

-- Of metrics; these do not add up, each row is one instance's resource in one minute.
CREATE TABLE store.rollup_resources (
    minute BIGINT NOT NULL,
    environment VARCHAR,
    namespace VARCHAR,
    service VARCHAR NOT NULL,
    instance VARCHAR,
    resource VARCHAR NOT NULL,
    metric VARCHAR NOT NULL,
    part VARCHAR NOT NULL,
    level DOUBLE,
    utilisation DOUBLE
);

-- The sums of whole hours, for the tables with a row a bucket: 50 million rows of a day's minutes take 1.6 s to add up,
-- those of its hours 0.1 s. "minute" is the hour's first. Only hours that are over are there: one that grew with each of
-- its minutes would leave 60 times its rows deleted behind.
CREATE TABLE store.hourly_latency AS FROM store.rollup_latency LIMIT 0;
CREATE TABLE store.hourly_paths AS FROM store.rollup_paths LIMIT 0;
CREATE TABLE store.hourly_node_latency AS FROM store.rollup_node_latency LIMIT 0;
CREATE TABLE store.hourly_edge_latency AS FROM store.rollup_edge_latency LIMIT 0;

-- One row: all hours before this minute are there.
CREATE TABLE store.hours_through (minute BIGINT NOT NULL);
INSERT INTO store.hours_through VALUES (0);

-- Minutes that were kept without nodes and edges are analysed again, as far as their spans are still there.
INSERT INTO store.pending_minutes
SELECT minute, sum(spans)::BIGINT AS spans
FROM store.rollup_windows
WHERE minute NOT IN (SELECT minute FROM store.pending_minutes)
    AND minute IN (SELECT epoch_ns(start_time) // 60_000_000_000 FROM store.spans)
GROUP BY minute;
