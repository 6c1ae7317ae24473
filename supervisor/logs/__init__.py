"""The log of a process: how a record becomes a line, and how lines reach stderr while nothing waits for whoever reads them.
It imports nothing of the package. Begin with `configuration`.
"""
