"""Several hosts as one server, on NATS with JetStream. In `hosts` is who is a member, which host has which connection id, and how
hosts ask each other. It may import everything up to `control`. Nothing imports it, or `nats`, where no cluster is asked for.
"""
