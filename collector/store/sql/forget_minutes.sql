DELETE FROM store.pending_minutes WHERE minute IN (SELECT unnest($minutes::BIGINT[])) RETURNING late;
