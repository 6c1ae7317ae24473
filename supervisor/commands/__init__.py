"""The subcommands of `wspulse` besides `serve`, each with its arguments and what it prints. They may import everything but
`cli`, and steer a server only through `client`. Begin with `control`.
"""
