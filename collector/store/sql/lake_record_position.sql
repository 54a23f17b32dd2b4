UPDATE store.position_$collector SET segment = $$segment, "offset" = $$offset, received = $$received;
