"""TLS in processes of its own: terminators, which speak it with clients and pass on what is under it, over a Unix socket, to the
workers. A reload of the application never touches them. It may import `errors`, `logs`, `host`, `premises`, `settings` and
`process`, and of `wspulse.actors` how to listen and how to begin a connection with whom it comes from. Begin with `service`; in
the process itself with `terminator`.
"""
