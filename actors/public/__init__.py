"""wspulse: a multi-core WebSocket server for Python."""
