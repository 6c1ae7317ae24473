"""Several hosts as one server, on real NATS servers."""
