"""Who gets what has come over a line: a call that waits for it, the handlers of its event, or whoever iterates over the line.

It knows no socket, and imports of the client's other files the outbox alone. Begin with `handling.py`, the task that handles.
"""
