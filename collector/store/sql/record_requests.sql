INSERT INTO store.requests SELECT $received, unnest($digests);
