"""contract §1: what is on the wire, and what happens with what should not be."""

from __future__ import annotations

import pytest

from tests.support.contract.server import ContractServer
from tests.support.wire.raw_peer import RawPeer, masked

UNDECODABLE = {
    "no JSON": b"hello",
    "no object": b"[1]",
    "an id of the wrong type": b'{"id": 7}',
    "an event of the wrong type": b'{"event": null}',
    "nesting that is too deep": b'{"payload":' + b"[" * 400 + b"]" * 40,
}


@pytest.mark.parametrize("what", UNDECODABLE)
async def test_message_that_does_not_decode_is_dropped_and_the_connection_stays(
    plain: ContractServer, what: str
) -> None:
    name = plain.new_id()
    async with await RawPeer.upgraded(plain.process.port, f"/ws?id={name}") as peer:
        peer.writer.write(masked(1, UNDECODABLE[what]) + masked(1, b'{"event":"echo","payload":1}'))
        assert await peer.expect("echo") == 1


async def test_payload_passes_through_byte_for_byte_and_unknown_fields_are_ignored(plain: ContractServer) -> None:
    payload = b'{"b" : 1.50, "a":[ 1e2 ,"\\u00e9", null ] }'
    async with await RawPeer.upgraded(plain.process.port, f"/ws?id={plain.new_id()}") as peer:
        peer.writer.write(masked(1, b'{"x": 1, "event":"echo", "payload":' + payload + b', "id": "7"}'))
        assert await peer.frame() == (1, b'{"event":"echo","payload":' + payload + b',"id":"7"}')


async def test_half_an_emoji_in_a_payload_passes_through_as_it_was_sent(plain: ContractServer) -> None:
    payload = rb'{"text":"cut \ud83d", "\uDE00":["\\ud83d"]}'
    async with await RawPeer.upgraded(plain.process.port, f"/ws?id={plain.new_id()}") as peer:
        peer.writer.write(masked(1, b'{"event":"echo","payload":' + payload + b',"id":"7"}'))
        assert await peer.frame() == (1, b'{"event":"echo","payload":' + payload + b',"id":"7"}')
        peer.writer.write(masked(1, rb'{"event":"echo","id":"\ud83d","payload":1}'))
        assert await peer.frame() == (1, '{"event":"echo","payload":1,"id":"\ufffd"}'.encode())


async def test_binary_message_with_invalid_utf8_never_reaches_others_as_text(plain: ContractServer) -> None:
    room = plain.new_id("room")
    async with (
        await plain.client(plain.new_id(), room) as other,
        await RawPeer.upgraded(plain.process.port, f"/ws?id={plain.new_id()}&room={room}") as peer,
    ):
        peer.writer.write(
            masked(2, b'{"event":"say","payload":"\xff"}') + masked(2, b'{"event":"say","payload":"fine"}')
        )
        assert await other.expect("say") == "fine"


async def test_absent_payload_stays_absent_and_null_stays_null(plain: ContractServer) -> None:
    async with await RawPeer.upgraded(plain.process.port, f"/ws?id={plain.new_id()}") as peer:
        peer.writer.write(masked(1, b'{"event":"echo"}') + masked(1, b'{"event":"echo","payload":null}'))
        assert await peer.frame() == (1, b'{"event":"echo"}')
        assert await peer.frame() == (1, b'{"event":"echo","payload":null}')


VIOLATIONS = {
    "an unmasked frame": (b"\x81\x02{}", 1002),
    "a reserved bit": (b"\xc1" + masked(1, b"{}")[1:], 1002),
    "an unknown opcode": (b"\x83" + masked(1, b"{}")[1:], 1002),
    "invalid UTF-8": (masked(1, b'{"event":"\xff"}'), 1007),
    "invalid UTF-8 in a field that nobody reads": (masked(1, b'{"other":"\xff"}'), 1007),
    "a message over the limit": (masked(1, b" " * 513), 1009),
    "a claim of a huge message": (b"\x81\xff" + (2**40).to_bytes(8) + b"mask", 1009),
}


@pytest.mark.parametrize("what", VIOLATIONS)
async def test_violation_is_answered_with_its_code_and_reported(plain: ContractServer, what: str) -> None:
    data, code = VIOLATIONS[what]
    name = plain.new_id()
    async with await RawPeer.upgraded(plain.process.port, f"/ws?id={name}") as peer:
        peer.writer.write(data)
        assert (await peer.close_code())[0] == code
        assert await peer.rest() == b""
    assert (await plain.notes.ended(name))["error"] == "ProtocolError"


async def test_what_a_peer_sent_before_a_violation_is_handled_and_answered(plain: ContractServer) -> None:
    name = plain.new_id()
    async with await RawPeer.upgraded(plain.process.port, f"/ws?id={name}") as peer:
        peer.writer.write(masked(1, b'{"event":"note","payload":1}') + b"\x81\x02{}")
        assert (await peer.close_code())[0] == 1002
    await plain.notes.ended(name)
    assert plain.notes.kinds(name) == ["connect", "message", "disconnect"]


async def test_message_in_fragments_with_a_ping_between_them_is_one_message(plain: ContractServer) -> None:
    whole = b'{"event":"echo","payload":"in pieces"}'
    async with await RawPeer.upgraded(plain.process.port, f"/ws?id={plain.new_id()}") as peer:
        first = bytes([masked(1, b"")[0] & 0x7F]) + masked(1, whole[:10])[1:]
        peer.writer.write(first + masked(9, b"now") + masked(0, whole[10:]))
        assert await peer.frame() == (10, b"now")
        assert await peer.frame() == (1, whole)
