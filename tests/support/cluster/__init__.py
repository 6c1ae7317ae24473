"""Feeds on real NATS servers that write down what they are given, and clients that lose messages."""
