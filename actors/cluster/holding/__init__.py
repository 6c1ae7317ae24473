"""`wspulse.actors.cluster.holding`: what waits, of sessions that are here, for what other hosts or the directory have yet to say.

Callbacks, until those of the id's last session have run on another host: `predecessors`. What clients send, while this host's
lease is over and it is not known whose their ids are: `messages`. It imports what `cluster` may; both are made by `Cluster`.
"""
