"""How a name gets its next worker: when after a crash, and how one is made ready beside those that serve. It may import
`worker_process` of its parent, and what that may. Begin with `backoff`, then `standby`.
"""
