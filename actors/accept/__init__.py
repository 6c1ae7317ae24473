"""From an accepted socket to an upgrade: reading the head, asking the application, handing over to the owner of the id.

It may import everything up to `sessions`; what is not a WebSocket goes to static pages or to a carried HTTP application. Begin
with `acceptor` and its `newcomer`; `handover` is what happens when the id lives on another shard.
"""
