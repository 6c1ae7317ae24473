"""What texts of peers may hold that Python's own may not. It may import nothing of the rest. Begin with `lone_surrogates`."""
