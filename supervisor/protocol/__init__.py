"""The control protocol as both of its ends speak it: endpoints and addresses, keys, requests and answers. It may import
`errors`, `logs` and `host`, and of `wspulse.actors` only `values.errors` and `values.frame`, since it serves
clients in strangers' processes too. Begin with `wire` for the server's end, with `calls` for the clients'.
"""
