"""OTLP over gRPC and HTTP: transports that frame bytes and map status, around one Export path."""
