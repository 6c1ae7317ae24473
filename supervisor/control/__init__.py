"""The server's end of the control protocol, from a socket down to the shards. `plane` puts the others together; `endpoint`
finds the addresses and `client_gate` lets clients in; `socket` carries messages, `server` reads and answers them,
`operations` does what they ask for, over `shard_links`; `event_publisher` tells what happens; in `bridge` programs outside
are the application. It may import `errors`, `logs`, `host`, `protocol`, `settings`, `worker` and `process`, and of
`wspulse.actors` what asks and answers shards. Begin with `plane`, then `server` and `operations`.
"""
