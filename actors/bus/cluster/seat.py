"""`ClusterSeat`: what a worker is told of the cluster to which its host belongs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ClusterSeat"]


@dataclass(frozen=True, slots=True)
class ClusterSeat:
    """See the module. Where there is one, the worker always has the shared bus, and a gateway is at its end."""

    origin: int
    """Of this process: a random number from 1 to 2**53 - 1 that no other process of any host has."""
    host: str = ""
    """Our host's name."""
    tag: str = ""
    """With which the ids begin that our host makes up."""
    hosts: tuple[tuple[str, str], ...] = ()
    """(tag, name) of all hosts that are alive, as far as they were known when this process was started."""
    shards: tuple[tuple[str, int, int], ...] = ()
    """(tag, seat, incarnation) of their workers."""
    gateway_path: str = ""
    """Where the host's gateway is asked; "" where nobody asks it."""
