"""What the operator's page shows of a server that changes all the time: put together for all who look, and bounded whatever there
is. It may import what its parent may. Begin with `live`.
"""
