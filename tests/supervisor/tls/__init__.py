"""TLS in processes of its own."""
