INSERT INTO store.$table BY NAME SELECT * FROM incoming_rollup;
