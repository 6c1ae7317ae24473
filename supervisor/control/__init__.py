"""The server's end of the control protocol: the control socket, what its operations do, the events, and the way from there
to the shards. It may import `errors`, `logs`, `host`, `protocol`, `settings`, `worker` and `process`, and of
`wspulse.actors` what asks and answers shards. Begin with `plane`, which puts the others together, then `server` and
`operations`.
"""
