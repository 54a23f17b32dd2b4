-- Which service calls which, of the settled minutes in [begin, end).
SELECT caller AS parent, callee AS child, sum(calls)::BIGINT AS "callCount"
FROM store.rollup_edges
WHERE minute >= $begin AND minute < $end AND caller_type = 'service' AND callee_type = 'service'
GROUP BY ALL
ORDER BY ALL;
