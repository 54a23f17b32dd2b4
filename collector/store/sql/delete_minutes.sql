DELETE FROM store.$table WHERE minute IN (SELECT unnest($$minutes::BIGINT[]));
