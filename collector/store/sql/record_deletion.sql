UPDATE store.deleted_before SET unix_nano = greatest(unix_nano, $unix_nano);
