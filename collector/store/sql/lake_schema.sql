-- What a lake has besides the tables of schema_1 and those after it: several collectors write to it.

-- received is later with each append of one collector, and of that one alone: what is new is found by both.
ALTER TABLE store.spans ADD COLUMN collector VARCHAR;
ALTER TABLE store.logs ADD COLUMN collector VARCHAR;
ALTER TABLE store.metrics ADD COLUMN collector VARCHAR;

-- A day is what retention deletes and what a question is about: whole files are skipped and dropped by it.
ALTER TABLE store.spans SET PARTITIONED BY (year(start_time), month(start_time), day(start_time));
ALTER TABLE store.logs SET PARTITIONED BY (year(received), month(received), day(received));
ALTER TABLE store.metrics SET PARTITIONED BY (year(received), month(received), day(received));

-- Up to which append of each collector spans were looked at for the minutes that they touch.
CREATE TABLE store.analysed (collector VARCHAR NOT NULL, received TIMESTAMP NOT NULL);

-- One row. Two transactions that change it cannot both commit: whoever gives out ids of resources and scopes does so.
CREATE TABLE store.id_guard (changes BIGINT NOT NULL);
INSERT INTO store.id_guard VALUES (0);

-- One row: the collector that analyses, deletes and compacts, until when. All that it writes changes this row too.
CREATE TABLE store.lease (holder VARCHAR NOT NULL, until TIMESTAMP NOT NULL);
INSERT INTO store.lease VALUES ('', TIMESTAMP '1970-01-01');

-- One row: which views are there, by a digest of their text.
CREATE TABLE store.views (digest VARCHAR NOT NULL);
INSERT INTO store.views VALUES ('');
