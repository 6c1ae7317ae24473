"""`scripts/cluster-crowd`: clients on several hosts that talk while hosts, gateways and NATS servers fail.

`app` is what the hosts serve, `members` are the clients, `stage` the processes and what can be done to them, `trials` what is
done in which trial, and `books` the judge.
"""
