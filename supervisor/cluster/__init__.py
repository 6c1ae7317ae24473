"""The gateway: one process beside the workers of a host, through which the hosts of a cluster reach each other.

Only what lives here talks to NATS. `feed` has the rooms' messages of all hosts, `exchange` the ZeroMQ sockets of this host's
workers, `hosts` who is there and which connection is where, `office` what workers and other hosts ask, `events` the events of
other hosts.
"""
