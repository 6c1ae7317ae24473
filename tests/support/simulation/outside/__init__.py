"""What surrounds the shard of a simulated history: its clients, their sockets, the bus and the application."""
