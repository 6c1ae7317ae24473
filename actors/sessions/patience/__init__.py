"""How long a handler has: to end by itself, and to end when it is cancelled. Begin with `cancellations`.

It may import `values` only, and sees inboxes through protocols of its own.
"""
