-- Version 2. What the analysis keeps of each minute, and which minutes it has yet to look at.

-- The type letters of a metric's metadata, as attributes have them.
ALTER TABLE store.metrics ADD COLUMN IF NOT EXISTS metadata_types VARCHAR;

-- A resource or a scope that nothing refers to any longer stays, so that ids stay dense, but without its digest.
ALTER TABLE store.resources ALTER COLUMN digest DROP NOT NULL;
ALTER TABLE store.scopes ALTER COLUMN digest DROP NOT NULL;

-- Up to which time of arrival spans were looked at for the minutes that they touch.
CREATE TABLE store.analysed_through (received TIMESTAMP NOT NULL);
INSERT INTO store.analysed_through VALUES (TIMESTAMP '1970-01-01');

-- Minutes (since 1970) whose traces got spans after they were last analysed; spans is how many these traces have.
CREATE TABLE store.pending_minutes (
    minute BIGINT PRIMARY KEY,
    spans BIGINT NOT NULL
);

-- What the analysis keeps of each minute; analytics/schema.py (ROLLUPS) says what the columns mean.
CREATE TABLE store.rollup_windows (
    minute BIGINT NOT NULL,
    environment VARCHAR,
    traces BIGINT NOT NULL,
    spans BIGINT NOT NULL,
    incomplete_traces BIGINT NOT NULL,
    sampled_traces BIGINT NOT NULL,
    weight DOUBLE NOT NULL,
    kept DOUBLE NOT NULL
);

CREATE TABLE store.rollup_endpoints (
    minute BIGINT NOT NULL,
    environment VARCHAR,
    namespace VARCHAR,
    service VARCHAR NOT NULL,
    operation VARCHAR NOT NULL,
    traces BIGINT NOT NULL,
    weight DOUBLE NOT NULL,
    errors DOUBLE NOT NULL,
    duration_ns DOUBLE NOT NULL
);

CREATE TABLE store.rollup_latency (
    minute BIGINT NOT NULL,
    environment VARCHAR,
    namespace VARCHAR,
    service VARCHAR NOT NULL,
    operation VARCHAR NOT NULL,
    bucket SMALLINT NOT NULL,
    weight DOUBLE NOT NULL
);

CREATE TABLE store.rollup_paths (
    minute BIGINT NOT NULL,
    environment VARCHAR,
    namespace VARCHAR,
    service VARCHAR NOT NULL,
    operation VARCHAR NOT NULL,
    bucket SMALLINT NOT NULL,
    kind VARCHAR NOT NULL,
    type VARCHAR,
    name VARCHAR NOT NULL,
    caller VARCHAR,
    callee VARCHAR,
    critical_path_ns DOUBLE NOT NULL
);
