"""The clients of the control protocol, which run in strangers' processes. They import `protocol`, and of `wspulse.actors`
only `values.errors` and `values.frame`: the order would allow more, but a stranger should not load a server. Begin with
`blocking`; `asynchronous` is the same for coroutines.
"""
