"""The clients of the control protocol, which run in strangers' processes. They import `protocol`, and of `wspulse.actors`
only `values.errors` and `values.frame`: the order would allow more, but nothing of a server is needed there. Begin with
`blocking`; `asynchronous` is the same for coroutines.
"""
