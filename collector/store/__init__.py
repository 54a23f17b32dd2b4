"""The store: sole owner of the DuckDB file."""
