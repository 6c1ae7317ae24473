"""What a worker runs around its shard, from the first line of the new process to its exit code. It may import `errors`,
`logs`, `host`, `protocol` and `settings`, and all of `wspulse.actors`, which never imports it. Begin with `main`.
"""
