"""What the options of a server are for.

It may import `values` only.
Begin with `table`, which the documents and `--explain` are made of.
"""
