-- Version 2. What the analysis keeps of each minute, and which minutes it has yet to look at.

-- Up to which time of arrival spans were looked at for the minutes that they touch.
CREATE TABLE store.analysed_through (received TIMESTAMP NOT NULL);
INSERT INTO store.analysed_through VALUES (TIMESTAMP '1970-01-01');

-- Minutes (since 1970) whose traces got spans after they were last analysed; spans is how many these traces have.
CREATE TABLE store.pending_minutes (
    minute BIGINT PRIMARY KEY,
    spans BIGINT NOT NULL
);
