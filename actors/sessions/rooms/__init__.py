"""Which rooms a shard has, and who waits until one of them is joined. Begin with `table`."""
