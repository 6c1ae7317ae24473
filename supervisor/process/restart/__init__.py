"""How a shard gets its next worker: when after a crash, and beside the one that serves in a planned restart. It may import
`worker_process` of its parent, and what that may. Begin with `backoff`, then `replacement`.
"""
