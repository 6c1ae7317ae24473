"""Why a worker could not be replaced, as those who asked for it are told."""

from __future__ import annotations

from wspulse.actors.values.errors import WspulseError

__all__ = ["MoveFailedError", "ReloadRefusedError", "RestartFailedError"]


_OUTCOMES = {True: "the old one keeps serving", False: "it is started again", None: "the others keep serving"}


class ReloadRefusedError(WspulseError):
    """No worker was replaced, since something that all of them are reached by would not be right. `reason` is one line."""

    code = "start_failed"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"wspulse: nothing was reloaded: {self.reason}"


class RestartFailedError(WspulseError):
    """A plan has brought no new worker. `reason` is one line; with `serves` the old worker goes on, None: there was none."""

    code = "start_failed"

    def __init__(self, shard: int, reason: str, *, serves: bool | None) -> None:
        super().__init__(shard, reason)
        self.shard = shard
        self.reason = reason
        self.serves = serves

    def __str__(self) -> str:
        outcome = _OUTCOMES[self.serves]
        return f"wspulse: the new worker {self.shard} could not start; {outcome}: {self.reason}"


class MoveFailedError(WspulseError):
    """Not all sessions of a worker could be moved; it goes on with those that are left. `lost` had moved to one that died,
    or was to close them."""

    code = "move_failed"

    def __init__(self, shard: int, reason: str, *, moved: int, lost: int) -> None:
        super().__init__(shard, reason, moved, lost)
        self.shard = shard
        self.reason = reason
        self.moved = moved
        self.lost = lost

    def __str__(self) -> str:
        return (
            f"wspulse: not all sessions of worker {self.shard} could be moved ({self.moved} were, {self.lost} of "
            f"them lost); it keeps serving: {self.reason}"
        )
