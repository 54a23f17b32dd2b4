"""The path of a request: bounded queue, decode, durable log, acknowledgement, store."""
