"""A soak: a server of two workers under a mixed crowd for half an hour, looked at every ten seconds.

`app` is the server's application, `crowd` has the clients with `clients` for what they do and `ledger` for what they count,
`probes` asks and takes the time, each in a process of its own; `samples` looks at the server's processes. `run` puts them
together, `verdict` says whether all stayed flat, and `records` keeps it for doc/inside/reliability.md. `scripts/soak` begins it.
"""
