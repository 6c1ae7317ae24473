"""What an application calls while its server runs, and where each call goes: to a shard of this process, or elsewhere.

It may import everything up to `runtime`; how a server runs is told by the deployment that it has.
Begin with `calls`, which is what users see, then `deployment`, which says what each way of running owes it; `in_process` is
the plain one, `asgi` has two more.
"""
