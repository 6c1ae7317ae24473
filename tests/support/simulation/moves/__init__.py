"""Histories in which sessions move between processes: several of them, in one loop, with the real code that moves sessions.

`history` draws one, `steps` are what may happen in it beside what happens to one shard, `world` is the processes with all that is
between them (`outside.processes`), and `patches` what stands for the kernel and the clock in that code. `model.moves` judges it.
"""
