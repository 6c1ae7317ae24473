"""What everybody speaks: frames, codecs, errors, options, requests, and the small machines that count and wait.

Nothing here does I/O or knows a loop, and nothing here imports any other folder.
Begin with `frame` and `errors`; `options` says what each option of a server is for.
"""
