"""`wspulse serve --check`: what a server would run, without starting it. It may import what the supervisor does, and loads the
application as a worker would, in a process of its own. Begin with `check`.
"""
