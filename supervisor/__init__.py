"""Everything in the parent process: it starts, watches and restarts workers, and owns the listening socket."""
