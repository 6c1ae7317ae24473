"""The event router: from a frame's event name to a handler of the application, through middleware.

It may import `values` and of `sessions` the `Connection`; nothing of the server depends on it, it is one `on_message`.
Begin with `router`; `handler` is how a function becomes one, `context` what it is given.
"""
