"""What the operator is told of a shard's clients and of the callbacks that serve them: counts for `stats`, and lines of the
log, of which no stranger can cause more than a few. It may import `values` and `wire`. Begin with `journal`.
"""
