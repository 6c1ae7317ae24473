"""Everything inside one worker: sessions, rooms, the shard that owns them, the bus that joins shards."""
