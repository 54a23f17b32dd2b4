"""Readers of telemetry files; each yields OTLP requests for the one ingest path."""
