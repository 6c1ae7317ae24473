"""Where a server listens: ports of IP addresses, Unix sockets, and sockets that whoever started the server has opened. It may
import `errors` and what stands beside it in `premises`. Begin with `opening`.
"""
