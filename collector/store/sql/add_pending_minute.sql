INSERT INTO store.pending_minutes VALUES ($minute, $spans)
ON CONFLICT (minute) DO UPDATE SET spans = greatest(spans, excluded.spans);
