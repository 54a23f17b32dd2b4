"""The query API: read-only SQL and traces over HTTP."""
