"""Hosts of a cluster in one process or several, over real NATS servers."""
