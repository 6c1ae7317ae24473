"""What a transport is beside its socket, for a move to another process."""
