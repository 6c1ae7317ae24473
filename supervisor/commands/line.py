"""`wspulse listen URL` and `wspulse talk URL`: a line to any server at the command line, with `wspulse.client`.

Frames go to stdout, one a line; what becomes of the line goes to stderr. Exit codes: 0 the end that was asked for, 1 the server
refused or closed the line, or lost what was said, 2 asked wrongly, 3 no server answered.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from wspulse.actors.values.codec import Codec, JSONCodec, MsgpackCodec, RawCodec
from wspulse.actors.values.errors import text_of
from wspulse.actors.values.frame import Frame
from wspulse.supervisor.commands.arguments import WrongUseError
from wspulse.supervisor.commands.parser import CommandParser, UnparsableError, argument_of
from wspulse.supervisor.commands.table import counted
from wspulse.supervisor.commands.terminal import exit_code_of, print_error, print_text, printable
from wspulse.supervisor.commands.typed_lines import LongLineError, typed_lines
from wspulse.supervisor.settings.kinds import Integer

if TYPE_CHECKING:
    from wspulse.actors.client.line import Line

__all__ = ["LINE_COMMANDS", "LineCommand"]

_CODECS: dict[str, Callable[[], Codec]] = {"json": JSONCodec, "msgpack": MsgpackCodec, "raw": RawCodec}

_MANY = argument_of(Integer(1, 1_000_000_000))


class LineCommand(NamedTuple):
    """A subcommand: `run(arguments)` gets what stands behind its name and returns the exit code."""

    help: str
    run: Callable[[Sequence[str]], int]


def _listen_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("events", nargs="*", metavar="EVENT", help="only frames of these events")
    parser.add_argument("--count", type=_MANY, metavar="N", help="exit after this many frames")


def _talk_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--event", metavar="NAME", help="the event of every frame; without it, each line is: EVENT PAYLOAD"
    )
    parser.add_argument("--text", action="store_true", help="payloads are text, not JSON")
    parser.set_defaults(events=[], count=None)


async def _listen(line: Line, options: Any) -> None:
    count = 0
    async for frame in line:
        if not options.events or frame.event in options.events:
            print_text(_frame_text(frame, options.json))
            count += 1
            if count == options.count:
                return


async def _talk(line: Line, options: Any) -> None:
    async def show() -> None:
        async for frame in line:
            print_text(_frame_text(frame, options.json))

    async def say() -> None:
        is_empty = not (sys.stdin is not None and sys.stdin.isatty())
        async for text in typed_lines():
            if text.strip():
                is_empty = False
                frame = _said(text, options)
                await line.send_wait(frame.event, frame.payload)
        if is_empty:
            raise WrongUseError("nothing was sent: stdin is empty")
        await line.flush()

    tasks = [asyncio.create_task(show()), asyncio.create_task(say())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        await task


def _said(text: str, options: Any) -> Frame:
    """What a line that was typed means. Raises WrongUseError."""
    if options.codec == "raw":
        return Frame("", text)
    event, payload = (options.event, text) if options.event is not None else [*text.split(None, 1), ""][:2]
    if options.text:
        return Frame(event, payload)
    if not payload.strip():
        return Frame(event)
    try:
        return Frame(event, msgspec.json.decode(payload))
    except (ValueError, RecursionError) as error:
        raise WrongUseError(f"the payload is not JSON: {error} (--text sends it as a string)") from None


def _frame_text(frame: Frame, as_json: bool) -> str:
    """One line."""
    payload: Any = None if frame.payload is msgspec.UNSET else _payload_of(frame)
    try:
        if as_json:
            fields = {"id": frame.id, "event": frame.event, "room": frame.room}
            whole = {name: value for name, value in fields.items() if value}
            return _json({**whole, "payload": payload})
        if isinstance(frame.payload, str):
            return printable(payload)
        text = "" if frame.payload is msgspec.UNSET else _json(payload)
    except (TypeError, ValueError, RecursionError):  # msgpack has more than JSON, as keys too
        text = repr(payload)
    return printable(f"{frame.event} {text}".strip())


def _json(value: Any) -> str:
    return msgspec.json.encode(value, enc_hook=_expressed).decode()


def _expressed(value: Any) -> Any:
    """What JSON has for a value of msgpack's that it has not."""
    return {"code": value.code, "data": value.data} if isinstance(value, msgspec.msgpack.Ext) else str(value)


def _payload_of(frame: Frame) -> Any:
    try:
        return frame.decode()
    except (ValueError, RecursionError):
        return bytes(frame.payload)


async def _run(options: Any, talk: Callable[[Line, Any], Coroutine[Any, Any, None]]) -> int:
    from wspulse.actors.client.connect import connect
    from wspulse.actors.client.delays import Retry
    from wspulse.actors.client.errors import LineClosedError, SessionLostError

    line = connect(
        options.url,
        codec=_CODECS[options.codec](),
        subprotocols=options.subprotocol,
        retry=Retry(limit=options.tries),
        additional_headers=[_header(text) for text in options.header],
    )
    was_connected = False

    @line.on("wspulse.state")
    def tell_state(news: dict[str, Any]) -> None:
        nonlocal was_connected
        state = news["state"]
        was_connected |= state == "connected"
        if state in ("connecting", "reconnecting"):
            why = f"{news['code']} {news['reason']}".strip()
            print_error(printable(f"wspulse: {state} in {news['delay_s']:.1f} s: {why}"))
        elif state == "connected":
            print_error(f"wspulse: connected{'' if line.exact else ' (without exact resume: frames may be lost)'}")

    @line.on("wspulse.lost")
    def tell_lost(news: dict[str, Any]) -> None:
        what = (
            f"{counted(news['lost'], 'frame')} lost"
            if news["recovered"]
            else "the session is a new one: frames may have been lost"
        )
        print_error(f"wspulse: {what}")

    @line.on("wspulse.error")
    def tell_error(news: dict[str, Any]) -> None:
        print_error(printable(f"wspulse: {news['kind']}: {text_of(news['error'])}"))

    try:
        async with line:
            await talk(line, options)
    except LineClosedError as error:
        print_error(printable(str(error)))
        return 1 if was_connected or error.status else 3
    except SessionLostError:
        return 1  # what was lost is told
    return 0


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or "\n" in text or "\r" in text:
        raise WrongUseError(f"{text!r} is not a header; write it as 'Name: value'")
    return name.strip(), value.strip()


def _command(
    name: str,
    text: str,
    add_arguments: Callable[[argparse.ArgumentParser], None],
    talk: Callable[[Line, Any], Coroutine[Any, Any, None]],
) -> LineCommand:
    def run_parsed(arguments: Sequence[str]) -> int:
        parser = CommandParser(prog=f"wspulse {name}", description=f"{text[0].upper()}{text[1:]}.")
        parser.add_argument("url", metavar="URL", help="such as ws://127.0.0.1:8000/ws?room=tea")
        add_arguments(parser)
        parser.add_argument("--json", action="store_true", help="print each frame as a JSON object")
        parser.add_argument(
            "--codec", choices=sorted(_CODECS), default="json", help="the server's codec (default: json)"
        )
        parser.add_argument(
            "--header", action="append", default=[], metavar="'NAME: VALUE'", help="a header to send; may be repeated"
        )
        parser.add_argument(
            "--subprotocol",
            action="append",
            default=[],
            metavar="NAME",
            help="a subprotocol to offer besides wspulse.1; may be repeated",
        )
        parser.add_argument(
            "--tries", type=_MANY, metavar="N", help="give up after N failures in a row (default: never)"
        )
        try:
            return asyncio.run(_run(parser.parse_mixed(arguments), talk))
        except UnparsableError as error:
            print_error(printable(f"wspulse: {error} (see {parser.prog} --help)"))
        except (WrongUseError, LongLineError, ValueError) as error:
            print_error(printable(f"wspulse: {str(error).removeprefix('wspulse: ')}"))
        return 2

    return LineCommand(text, lambda arguments: exit_code_of(lambda: run_parsed(arguments)))


LINE_COMMANDS = {
    "listen": _command("listen", "connect and print the frames that the server sends", _listen_arguments, _listen),
    "talk": _command(
        "talk", "connect, send each line typed as a frame, and print what arrives", _talk_arguments, _talk
    ),
}
