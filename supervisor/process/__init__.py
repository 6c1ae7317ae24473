"""The supervisor's processes and threads: workers that are started, watched, restarted and stopped, the bus forwarder, and
signals. `restart` has how a shard gets its next worker, `watching` how it is known what workers do.

It may import `errors`, `logs`, `host`, `premises`, `protocol`, `settings` and `worker`, which it starts, and of `wspulse.actors`
what goes between the two: messages, streams, errors. Begin with `child`, then `workers`.
"""
