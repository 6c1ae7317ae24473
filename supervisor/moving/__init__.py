"""The conduct of plans that move sessions between workers: reload, restart, scale. It may import `process` and what stands below
it. What decides is in `shares` (which slots go where) and `turn` (what has become of one worker's part); `conductor` puts plans
together, step by step.
"""
