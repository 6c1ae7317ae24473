"""Several hosts as one server, on NATS with JetStream. In `feed` are rooms' messages of all hosts, in one order. It may import
everything up to `control`. Nothing imports it, or `nats`, where no cluster is asked for.
"""
