"""Hosts of a cluster: inside one loop, with a directory, streams and ways that are pretended, with delays and failures that the
test chooses; and over real NATS servers, in one process or several.
"""
