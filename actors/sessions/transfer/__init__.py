"""What a session, its connection and its shard do for a move to another process, and nothing at other times.

`record` is what travels of a session, `recording` makes it and makes a session of it. `halting` brings sessions to rest, `keeper`
keeps what their rooms get meanwhile, `frozen` and `departed` are what a session and its connection are between two processes and
afterwards. `transit` is what the shard asks. `moving` conducts all this.
"""
