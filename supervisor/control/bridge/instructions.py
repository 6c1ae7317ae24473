"""What the desk wants done: the instructions that `BridgeDesk` gives and `BridgeService` carries out. Values only.

Those about sending: `Deliver` is to be reported back, with `delivered` or `held_back`; of any that finds no peer any more, the
desk is told with `gone`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from wspulse.actors.mesh.message import BridgeFrame, BridgeQuestion
from wspulse.supervisor.control.bridge.program import AttachedPeer

__all__ = [
    "AdoptSoon",
    "CancelRetry",
    "ClearDeadline",
    "Deliver",
    "FrameSent",
    "Instruction",
    "Ping",
    "Pose",
    "ReportAttached",
    "ReportForgotten",
    "ReportGone",
    "RetrySoon",
    "SetDeadline",
    "Settle",
]


class Deliver(msgspec.Struct, frozen=True):
    """Tell a program what happened to one of its connections, unless it has not taken what it was sent before."""

    peer: AttachedPeer
    op: str
    args: dict[str, Any]
    frame: BridgeFrame | None


class Pose(msgspec.Struct, frozen=True):
    """Ask a program who somebody is; the number comes back with its answer."""

    peer: AttachedPeer
    number: int
    question: BridgeQuestion


class Ping(msgspec.Struct, frozen=True):
    """Ask a program for a sign of life."""

    peer: AttachedPeer


class Settle(msgspec.Struct, frozen=True):
    """Answer the worker that asked; `answer` is what BridgeQuestion says."""

    ticket: int
    answer: dict[str, Any]


class FrameSent(msgspec.Struct, frozen=True):
    """Say to the worker that its frame has gone out: it reads on."""

    ticket: int


class SetDeadline(msgspec.Struct, frozen=True):
    """Report with `deadline_passed` when a question has waited too long."""

    number: int


class ClearDeadline(msgspec.Struct, frozen=True):
    """A question has its answer."""

    number: int


class RetrySoon(msgspec.Struct, frozen=True):
    """Call `retry` in a moment."""

    peer: AttachedPeer


class CancelRetry(msgspec.Struct, frozen=True):
    """Do not call `retry` any more."""

    peer: AttachedPeer


class AdoptSoon(msgspec.Struct, frozen=True):
    """Call `adopt_orphans` when the answer to the request that is being taken has been sent."""


class ReportAttached(msgspec.Struct, frozen=True):
    """Log that a program is there."""

    program: int


class ReportGone(msgspec.Struct, frozen=True):
    """Log that a program is not there any more."""

    program: int
    reason: str


class ReportForgotten(msgspec.Struct, frozen=True):
    """Log that no program will be told of so many ends of connections, nor get so many frames of clients that are gone."""

    connections: int
    frames: int


Instruction = (
    Deliver
    | Pose
    | Ping
    | Settle
    | FrameSent
    | SetDeadline
    | ClearDeadline
    | RetrySoon
    | CancelRetry
    | AdoptSoon
    | ReportAttached
    | ReportGone
    | ReportForgotten
)
