"""How frames are written in a simulation: in few bytes, so that a kernel that holds little holds some of them."""

from __future__ import annotations

from wspulse.actors.values.codec import MsgpackCodec
from wspulse.actors.values.frame import Frame

__all__ = ["SimCodec"]


class SimCodec(MsgpackCodec):
    """Frames whose payload is the whole message: a number. The ids of calls are kept here by their numbers. What is the
    protocol's own is short: s for the first frame, k for acknowledgements, l for what was lost."""

    binary = True

    def __init__(self) -> None:
        self._call_ids: dict[int, str] = {}

    def encode(self, frame: Frame, /) -> bytes:
        if frame.event.startswith("wspulse."):
            told = frame.payload
            if frame.event == "wspulse.session":
                fields = (told["token"], told["received"], int(told["recovered"]), told["lost"])
                return b"s" + ",".join(map(str, fields)).encode()
            return b"%s%d" % (b"k" if frame.event == "wspulse.ack" else b"l", told)
        payload: bytes = frame.payload
        if frame.id:
            self._call_ids[int(payload[1:])] = frame.id
        return payload

    def decode(self, data: bytes, /) -> Frame:
        if data == b"undecodable":
            raise ValueError("undecodable")
        if data[0] == 107:
            number = data[1:].decode()
            return Frame("wspulse.ack", int(number) if number.lstrip("-").isdecimal() else number)
        if data[0] == 119:
            return Frame("wspulse.x", data)
        if data[0] in b"ae":
            return Frame("ask" if data[0] == 97 else "ask.error", data, self._call_ids[int(data[1:])])
        return Frame("", data)
