"""The bridge: how programs outside are the application of a server, as the supervisor sees them. It may import what `control`
may, and of that only its socket. Begin with `desk`.
"""
