"""Rooms' messages of all hosts, in one order for each bucket of rooms: JetStream streams that republish what they store. It knows
neither ZeroMQ nor workers, and may import `cluster.errors` and the log's limit. Begin with `feed`; what a bucket's order is made
of, is in `chain`. `connection` makes the client that it is given.
"""
