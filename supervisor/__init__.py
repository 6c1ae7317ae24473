"""The supervisor: the parent process, which starts, watches and restarts workers and owns the listening socket; and what
configures it, steers it and is started by it.

Each folder may be imported by what stands to its right, and nothing is imported the other way:

    errors, logs → host → protocol → settings → worker → process → control → supervisor → client → commands → cli

Begin with `supervisor.py`, which is the parent process; `cli.py` is the command line that runs it. What is in `worker/`
runs in the workers' processes, what is in `client/` in programs that are no server.
"""
