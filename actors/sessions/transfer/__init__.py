"""What a session, its connection and its shard do for a move to another process, and nothing at other times."""
