-- How many spans start in [begin, end), Unix nanoseconds.
SELECT count(*) AS spans
FROM store.spans
WHERE start_time >= make_timestamp_ns($begin) AND start_time < make_timestamp_ns($end);
