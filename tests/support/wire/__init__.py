"""Bytes: peers on bare sockets, streams of frames and heads of requests."""
