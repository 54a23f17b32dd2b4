-- Up to when arrivals were looked at, and when the last span or point arrived.
SELECT
    received,
    greatest((SELECT max(received) FROM store.spans), (SELECT max(received) FROM store.metrics)) AS latest
FROM store.analysed_through;
