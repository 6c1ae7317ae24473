"""The applications that ship: relay with its chat page and presence, echo, and the workers' end of the bridge to programs.

They are written against `server` as a user's are, and may import everything below it.
Begin with `builtin`; `presence` is the largest, and `page/` is what a browser gets.
"""
