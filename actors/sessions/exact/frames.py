"""The frames of the exact protocol itself, as they go to the client: the first one, acknowledgements, and what was lost.

One `ExactFrames` per shard, made with its first exact session. It knows no session and no clock.
"""

from __future__ import annotations

from typing import Final

from wspulse.actors.values.frame import Frame
from wspulse.actors.values.options.server_options import ServerOptions
from wspulse.actors.values.text.exact import RESERVED
from wspulse.actors.wire.encoder import encode_protocols_own

__all__ = ["ACK", "ACK_S", "LOST", "QUESTION_S", "SESSION", "ExactFrames"]

SESSION: Final = f"{RESERVED}session"
ACK: Final = f"{RESERVED}ack"
LOST: Final = f"{RESERVED}lost"

ACK_S = 1.0
"""How long what was taken may be unacknowledged."""

QUESTION_S = 1.0
"""Between two answers to questions whether we are there."""

_MOST_ACK_FRAMES = 64


class ExactFrames:
    """See the module. `ack_frames` and `ack_bytes` are after how much each side tells the other what it has taken."""

    def __init__(self, options: ServerOptions) -> None:
        self._codec = options.codec
        self._window_s = options.resume_window
        self._ping_s = options.ping_period
        self.ack_frames = min(_MOST_ACK_FRAMES, max(1, options.send_buffer_size // 4))
        self.ack_bytes = options.send_buffer_bytes // 4

    def first(
        self, connection_id: str, token: str, *, outlives: bool, received: int, recovered: bool, lost: int
    ) -> bytes:
        """The first frame of a transport. `outlives`: whether the session waits for its client."""
        payload = {
            "id": connection_id,
            "token": token,
            "window": _number(self._window_s if outlives else 0),
            "ping": _number(self._ping_s),
            "ack": [self.ack_frames, self.ack_bytes],
            "received": received,
            "recovered": recovered,
            "lost": lost,
        }
        return encode_protocols_own(self._codec, Frame(SESSION, payload))

    def ack(self, received: int) -> bytes:
        return encode_protocols_own(self._codec, Frame(ACK, received))

    def lost(self, count: int) -> bytes:
        return encode_protocols_own(self._codec, Frame(LOST, count))


def _number(seconds: float) -> float:
    """30 rather than 30.0."""
    return int(seconds) if seconds == int(seconds) else seconds
