"""Processes of the server beside its workers, started again when they die: TLS terminators, and that of the admin address. It may
import what stands beside it in `process`. Begin with `companion`; `entry` is what their processes begin with.
"""
