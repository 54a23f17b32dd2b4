UPDATE store.log_position SET segment = $segment, "offset" = $offset;
