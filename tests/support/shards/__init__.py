"""Shards inside the test's own process, with real sockets, mailboxes and a real bus."""
