"""The options of a server: their defaults and ranges, what kinds of values they take, and what they are for.

It may import `values` only.
Begin with `server_options`, where all of them stand; `table` says what the documents, `--help` and `--explain` are made of.
"""
