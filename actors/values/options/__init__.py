"""What the options of a server are for, and what kinds of values they take.

It may import `values` only.
Begin with `table`, which the documents, `--help` and `--explain` are made of; the options stand in `values/config`.
"""
