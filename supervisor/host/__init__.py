"""The machine that the server runs on: listening sockets, the runtime directory, locks, the working directory, and the limits
of descriptors, cores and memory. It may import `errors` and `logs`, and nothing of `wspulse.actors`. Begin with `runtime_dir`,
then `listen_socket`.
"""
