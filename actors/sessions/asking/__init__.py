"""What the server asks a client, and how the answer finds its way past the handlers. Begin with `call`.

It may import `values`, `wire`, `transport` and of `sessions` what stands below the session.
"""
