"""What a shard gives to the bus: batches, marks, cuts, and the callers that wait until the bus takes theirs.

It may import what the bus's own files may, and nothing of `receiving`. Begin with `publisher`; `flow` decides who waits, and
`audiences` for whom.
"""
