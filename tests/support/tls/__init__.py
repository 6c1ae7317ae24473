"""A TLS terminator without TLS: transports that do what they are told."""
