"""A session as the application sees it: on this shard, on another one, and what both have in common. Begin with `connection`."""
