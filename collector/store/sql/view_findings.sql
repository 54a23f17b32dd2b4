-- What the rules found in each hour; evidence is a JSON object of numbers.
CREATE OR REPLACE VIEW main.findings AS
SELECT
    make_timestamp(hour * 3600000000) AS hour,
    nullif(environment, '') AS environment,
    rule,
    status,
    severity,
    score,
    title,
    services,
    edges,
    evidence,
    trace_ids,
    advice
FROM store.hour_findings
ORDER BY hour DESC, status = 'unknown', array_position(['critical', 'warning', 'info'], severity), score DESC, rule;
