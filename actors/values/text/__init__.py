"""What texts may hold that Python's own may not, or that no header may. It may import nothing of the rest. Begin with
`lone_surrogates`.
"""
