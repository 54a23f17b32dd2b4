INSERT INTO store.pending_minutes VALUES ($minute, $spans, $late)
ON CONFLICT (minute) DO UPDATE SET spans = greatest(spans, excluded.spans), late = late + excluded.late;
