"""The machine that the server runs on, and its processes as the kernel shows them: cores, memory, the limit of descriptors,
versions, titles. It may import `errors` and `logs`, and nothing of `wspulse.actors`. Begin with `machine`.
"""
