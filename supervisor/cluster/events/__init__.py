"""What happens on each host, told on all of them: the supervisor's end (`shared`), and the gateway's (`relay`).

It may import nothing of `cluster` but what hosts are called. Begin with `shared`.
"""
