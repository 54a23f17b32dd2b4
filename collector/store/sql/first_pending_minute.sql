SELECT min(minute) FROM store.pending_minutes WHERE minute >= $begin AND minute < $end;
