"""The settings of a server process: which there are, how their values are read, and what they come to. It may import
`errors`, `logs`, `host` and `protocol`, and of `wspulse.actors` what describes and checks a server's options, but never the
application. Begin with `table`, then `layers`.
"""
