"""Whom a connection comes from when a proxy stands in between: what trusted proxies say of it, in a header of the PROXY protocol
or in those of HTTP. It may import `values`, `wire` and `sessions`, and nothing of `accept` but what it is given. Begin with
`trust`.
"""
