"""What is asked of whoever owns a connection id, while ids change hands.

`owners` asks by id, and `listing` asks all; both keep what they promise while sessions move between processes. The table itself
is `mesh.placement`'s. It may import what `mesh` may. Begin with `owners`.
"""
