"""The supervisor's side of the bridge, between the workers of a server that runs with `--app bridge` and the programs that
are its application. (The application that each worker has in its place is `wspulse.actors.apps.bridge`; what a program
uses is `client.bridge`.) It may import `protocol`, and of `control` only `route` and the socket's error. Begin with `desk`,
which decides, and what waits in its `backlog`; `service` runs it.
"""
