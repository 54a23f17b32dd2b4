-- Version 4. Each hour is judged: its coupling index and what the rules find; analytics/hours.py says what columns mean.

CREATE TABLE store.hour_index (
    hour BIGINT NOT NULL,
    environment VARCHAR NOT NULL,
    traces BIGINT NOT NULL,
    share DOUBLE NOT NULL,
    score DOUBLE,
    grade VARCHAR NOT NULL,
    missing VARCHAR,
    components STRUCT(name VARCHAR, value DOUBLE, weight DOUBLE, contribution DOUBLE, explanation VARCHAR)[] NOT NULL,
    lowers STRUCT(edge VARCHAR, if_async DOUBLE, if_removed DOUBLE)[] NOT NULL
);

CREATE TABLE store.hour_findings (
    hour BIGINT NOT NULL,
    environment VARCHAR NOT NULL,
    rule VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    severity VARCHAR NOT NULL,
    score DOUBLE NOT NULL,
    title VARCHAR NOT NULL,
    services VARCHAR[] NOT NULL,
    edges VARCHAR[] NOT NULL,
    evidence VARCHAR NOT NULL,
    trace_ids VARCHAR[] NOT NULL,
    advice VARCHAR NOT NULL
);

-- Hours of which a minute was rolled up since they were judged.
CREATE TABLE store.pending_hours (hour BIGINT PRIMARY KEY);

INSERT INTO store.pending_hours
SELECT DISTINCT minute // 60 FROM store.rollup_windows;
