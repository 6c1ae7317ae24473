"""The simulation of sessions: histories of a shard that are played in no time, and judged by the contract."""
