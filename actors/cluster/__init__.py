"""Sessions on several hosts, as a shard sees it: whose an id is, sessions that go on on another host, and calls to those that
live there. What joins the hosts is a `Gateway`, of which nothing here knows how it does that.

It may import everything up to `moving`. Begin with README.md, then `contract`, and `cluster`, which puts it together.
"""
