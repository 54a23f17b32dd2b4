"""The service: receives telemetry, keeps it in DuckDB and answers queries."""
