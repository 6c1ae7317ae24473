"""Every option's default and range (contract §5), and what a wrong one is answered."""

from __future__ import annotations

import logging
import math
from dataclasses import fields
from typing import Any

import pytest

from wspulse.actors.values.codec import JSONCodec, MsgpackCodec, RawCodec
from wspulse.actors.values.frame import Frame
from wspulse.actors.values.options.server_options import ServerOptions


def options(**values: Any) -> ServerOptions:
    return ServerOptions(**values)


def refusal(**values: Any) -> str:
    with pytest.raises(ValueError, match=r"^wspulse: ") as caught:
        options(**values)
    return str(caught.value)


def test_defaults_are_those_of_the_contract() -> None:
    defaults = ServerOptions()
    assert defaults.resume_window == 0
    assert defaults.suspend_on_clean_close is True
    assert defaults.on_duplicate == "kick"
    assert defaults.subprotocols == ()
    assert (defaults.ping_period, defaults.pong_wait, defaults.write_wait) == (10, 30, 10)
    assert (defaults.max_message_size, defaults.send_buffer_size) == (512, 256)
    assert defaults.send_buffer_bytes == 4 * 1024 * 1024
    assert isinstance(defaults.codec, JSONCodec)
    assert defaults.check_origin is None
    assert defaults.handshake_timeout == 10
    assert (defaults.publish_messages, defaults.client) == (False, True)
    assert (defaults.slow_handler, defaults.access_log) == (10, False)
    assert (defaults.handler_timeout, defaults.cancel_on_disconnect) == (0, False)
    assert defaults.compression is None
    assert defaults.logger is logging.getLogger("wspulse")


SECONDS = [
    # option, allowed, not allowed; with what makes them possible
    ("resume_window", [0, 0.5, 180], [-1, -0.001, 180.001], {}),
    ("ping_period", [0.001, 300], [0, -1, 300.001], {"pong_wait": 600}),
    ("pong_wait", [10.001, 600], [0, 10, 600.001], {}),
    ("write_wait", [0.001, 30], [0, 30.001], {}),
    ("handshake_timeout", [0.001, 60], [0, 60.001], {}),
    ("slow_handler", [0, 0.001, 3600], [-1, 3600.001], {}),
    ("handler_timeout", [0, 0.001, 3600], [-1, 3600.001], {}),
]


@pytest.mark.parametrize(("option", "value", "others"), [(o, v, x) for o, good, _, x in SECONDS for v in good])
def test_seconds_in_range_are_taken_as_floats(option: str, value: float, others: dict[str, Any]) -> None:
    taken = getattr(options(**{option: value, **others}), option)
    assert taken == value
    assert type(taken) is float


@pytest.mark.parametrize(("option", "value", "others"), [(o, v, x) for o, _, bad, x in SECONDS for v in bad])
def test_seconds_out_of_range_are_refused(option: str, value: float, others: dict[str, Any]) -> None:
    assert refusal(**{option: value, **others}).startswith(f"wspulse: {option}: {value:g}")


@pytest.mark.parametrize("value", [None, "10", True, math.nan, math.inf, -math.inf, [10], 10j])
@pytest.mark.parametrize("option", [option for option, *_ in SECONDS])
def test_what_is_no_number_of_seconds_is_refused(option: str, value: Any) -> None:
    text = refusal(**{option: value})
    assert text.startswith(f"wspulse: {option}: {value!r} is ")
    assert "seconds" in text


def test_pong_wait_must_be_above_ping_period() -> None:
    assert refusal(ping_period=20, pong_wait=20) == "wspulse: pong_wait: 20 must be above ping_period (20)"
    assert refusal(ping_period=40).startswith("wspulse: pong_wait: 30 must be above")


@pytest.mark.parametrize(
    ("option", "low", "high"),
    [
        ("max_message_size", 1, 64 * 1024 * 1024),
        ("send_buffer_size", 1, 4096),
        ("send_buffer_bytes", 1024, 1024 * 1024 * 1024),
    ],
)
def test_counts_are_integers_in_range(option: str, low: int, high: int) -> None:
    for value in (low, high):
        assert getattr(options(**{option: value}), option) == value
    for wrong in (low - 1, high + 1, -5, True, None, "512", 512.0):
        assert refusal(**{option: wrong}).startswith(f"wspulse: {option}: {wrong!r} is ")


@pytest.mark.parametrize(
    "option", ["suspend_on_clean_close", "publish_messages", "access_log", "cancel_on_disconnect", "client", "index"]
)
def test_switches_are_true_or_false(option: str) -> None:
    for value in (True, False):
        assert getattr(options(**{option: value}), option) is value
    for wrong in (0, 1, None, "yes"):
        assert refusal(**{option: wrong}).startswith(f"wspulse: {option}: {wrong!r} is not a bool")


def test_duplicate_mode_is_one_of_three() -> None:
    assert ServerOptions(on_duplicate="reject").on_duplicate == "reject"
    wrong: Any
    for wrong in ("KICK", "", None, []):
        assert refusal(on_duplicate=wrong).startswith(f"wspulse: on_duplicate: {wrong!r} is unknown")


def test_compression_is_deflate_or_none() -> None:
    assert ServerOptions(compression="deflate").compression == "deflate"
    assert ServerOptions(compression=None).compression is None
    wrong: Any
    for wrong in ("DEFLATE", "gzip", "", True, []):
        assert refusal(compression=wrong) == f"wspulse: compression: {wrong!r} is unknown; allowed: None or 'deflate'"


def test_duplicate_mode_resume_needs_a_resume_window() -> None:
    assert ServerOptions(on_duplicate="resume", resume_window=1).on_duplicate == "resume"
    assert refusal(on_duplicate="resume") == "wspulse: on_duplicate: 'resume' needs a resume_window above 0"


def test_subprotocols_are_a_sequence_of_tokens() -> None:
    assert ServerOptions(subprotocols=None).subprotocols == ()  # type: ignore[arg-type]
    assert ServerOptions(subprotocols=["v2.chat", "chat"]).subprotocols == ("v2.chat", "chat")  # type: ignore[arg-type]
    for wrong in ("chat", 5, b"chat", {"chat"}, ["a b"], [""], ["a,b"], [5], ["grüße"], ["a\n"], ["chat", "chat"]):
        assert refusal(subprotocols=wrong).startswith("wspulse: subprotocols: ")


class NotQuiteACodec:
    def __init__(self, **members: Any) -> None:
        vars(self).update(members)


class OwnCodec:
    binary = True

    def encode(self, frame: Frame, /) -> bytes:
        return frame.event.encode()

    def decode(self, data: bytes, /) -> Frame:
        return Frame(data.decode())


def test_codec_has_three_members() -> None:
    for codec in (JSONCodec(), MsgpackCodec(), RawCodec(), OwnCodec()):
        assert ServerOptions(codec=codec).codec is codec
    for members in (
        {},
        {"encode": len, "decode": len},
        {"encode": len, "binary": True},
        {"decode": len, "binary": True},
        {"encode": 5, "decode": len, "binary": True},
        {"encode": len, "decode": len, "binary": "text"},
        {"encode": len, "decode": len, "binary": 0},
    ):
        assert refusal(codec=NotQuiteACodec(**members)).startswith("wspulse: codec: ")
    assert refusal(codec=None).startswith("wspulse: codec: ")


def test_codec_class_instead_of_an_object_is_refused() -> None:
    assert refusal(codec=OwnCodec).startswith("wspulse: codec: ")


def test_check_origin_is_callable_or_none() -> None:
    assert ServerOptions(check_origin=bool).check_origin is bool
    assert refusal(check_origin="https://example.com").startswith(
        "wspulse: check_origin: 'https://example.com' is not callable"
    )


@pytest.mark.parametrize("option", [item.name for item in fields(ServerOptions)])
def test_every_option_is_checked_and_its_name_told(option: str) -> None:
    assert refusal(**{option: object()}).startswith(f"wspulse: {option}: <object object ")


def test_of_several_wrong_options_the_first_is_told() -> None:
    assert refusal(logger=None, write_wait=0).startswith("wspulse: write_wait: ")
    assert refusal(ping_period=0, on_duplicate="resume").startswith("wspulse: on_duplicate: ")


def test_logger_is_a_logger() -> None:
    logger = logging.getLogger("mine")
    assert ServerOptions(logger=logger).logger is logger
    assert refusal(logger="mine").startswith("wspulse: logger: 'mine' is not a logging.Logger")


def test_options_cannot_be_changed_afterwards() -> None:
    built = ServerOptions()
    with pytest.raises(AttributeError):
        built.resume_window = 5  # type: ignore[misc]


def test_overrides_replace_some_and_are_checked_with_the_rest() -> None:
    built = ServerOptions(resume_window=30, max_message_size=1000)
    changed = built.overridden({"max_message_size": 2000, "on_duplicate": "resume"})
    assert (changed.resume_window, changed.max_message_size, changed.on_duplicate) == (30, 2000, "resume")
    assert built.max_message_size == 1000
    assert built.overridden({}) == built
    with pytest.raises(ValueError, match=r"^wspulse: on_duplicate: 'resume' needs"):
        ServerOptions().overridden({"on_duplicate": "resume"})
    with pytest.raises(ValueError, match=r"^wspulse: pong_wait: "):
        built.overridden({"ping_period": 60})


def test_override_of_an_unknown_option_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^wspulse: max_size: unknown option; allowed: "):
        ServerOptions().overridden({"max_size": 5})
