"""The hosts of a cluster: who is a member, who has which connection id, and questions from one host to another.

All of it is in one JetStream bucket (`bucket`) but for the questions, which NATS itself carries (`calls`). It may import
`supervisor.errors` and what stands beside it in `cluster`. Begin with README.md,
then `membership`, `directory` and `calls`.
"""
