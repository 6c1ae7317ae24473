"""`wspulse top`: a live screen, of the workers and rooms of a server or of the hosts of a cluster.

Only the subcommand imports this: it needs the package rich (`wspulse[top]`). Begin with `screen`.
"""
