"""The application's files, watched while somebody edits them: `--reload`. It may import `errors` only. Begin with `watch`, which
runs what watches; `sources` says which changes count.
"""
