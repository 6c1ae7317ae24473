"""`wspulse doctor`: the facts of a machine, what they mean for a server that is to run there, and the command that says so. It
may import what the other subcommands do. Begin with `examination`.
"""
