"""The worker's half of the bus where there are several hosts: what is published is kept by the cluster before it counts as sent.

It may import the bus's own files, and nothing of `sharing`. Begin with `bus`; `publisher` has one unacknowledged message for each
room, `receiver` drops what has come before, `message` is what a worker and its host's gateway say to each other.
"""
