"""The simulation of sessions: histories of a shard that are played in no time, and judged by the contract.

`history` draws one from a seed, `steps` are what may happen in it; `world` is the shard with its `outside`, which `model`
watches; `simulate` runs very many (`scripts/simulate`), and `faults` proves that they would find one.
"""
