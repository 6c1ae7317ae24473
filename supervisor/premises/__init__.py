"""What a server has on its host for itself: its address, its runtime directory with the sockets in it, its working directory.

How that is claimed, looked after while the server runs, and given back, and what a dead server has left of it. It may import
`errors`, `logs` and `host`, and of `wspulse.actors` values alone. Begin with `runtime_dir`, then `upkeep`.
"""
