"""Finding the application in a worker: `MODULE:ATTR` or a built-in name becomes a `Server` with the command line's options.

Runs in workers only, outside the event loop, so that an application may run a loop of its own at import.
"""

from __future__ import annotations

import importlib
import operator
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import wspulse.actors
import wspulse.supervisor
from wspulse.actors.accept.http_app import check_http_extra
from wspulse.actors.accept.origins import OriginCheck
from wspulse.actors.apps.bridge import bridge
from wspulse.actors.apps.builtin import builtin
from wspulse.actors.server import Server
from wspulse.actors.values.codec import Codec, JSONCodec, MsgpackCodec, RawCodec
from wspulse.supervisor.logs.tracebacks import traceback_text

__all__ = ["BootError", "failure_text", "load_application"]

_OUR_FOLDERS = frozenset({*wspulse.actors.__path__, *wspulse.supervisor.__path__})

CODECS: dict[str, Callable[[], Codec]] = {"json": JSONCodec, "msgpack": MsgpackCodec, "raw": RawCodec}


class BootError(Exception):
    """The application cannot be loaded, and would not be at another try. `is_usage`: the command line is wrong, and the
    text is one line; else the text is the traceback of what the application raised."""

    def __init__(self, text: str, *, is_usage: bool) -> None:
        super().__init__(text)
        self.text = text
        self.is_usage = is_usage


def load_application(name: str, overrides: dict[str, Any], desk_path: str = "") -> Server:
    """The server that `name` means, its options overridden. The current folder comes first on `sys.path`.

    `desk_path` is where the application `bridge` finds its desk. Raises BootError.
    """
    server = _import(name) if ":" in name else bridge(desk_path) if name == "bridge" else _builtin(name)
    try:
        server.override(_options(overrides))
        server.checked_connect()
        if server.options.http_app is not None:
            check_http_extra()
    except ValueError as error:
        raise BootError(str(error), is_usage=True) from None
    return server


def failure_text(error: BaseException) -> str:
    """The traceback of an error out of the application, without the frames of this package and of the import system that
    led there."""
    frames = error.__traceback__
    while frames is not None and _is_ours(frames):
        frames = frames.tb_next
    # Where nothing else is left (a module that is not there, a syntax error), the way to it is better than nothing.
    return traceback_text(error, frames or error.__traceback__) + "\n"


def _is_ours(frames: TracebackType) -> bool:
    name = frames.tb_frame.f_code.co_filename
    if name.startswith("<frozen importlib") or name == importlib.__file__:
        return True
    return any(str(folder) in _OUR_FOLDERS for folder in Path(name).parents)


def _builtin(name: str) -> Server:
    server = builtin(name)
    if server is None:
        raise BootError(
            f"wspulse: app: {name!r} is not a built-in application; for one of your own give MODULE:ATTR, such as {name}:server",
            is_usage=True,
        )
    return server


def _import_module(module_name: str) -> ModuleType:
    folder = str(Path.cwd())
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(module_name)
    except BaseException as error:  # the application's own code, sys.exit() included
        raise BootError(failure_text(error), is_usage=False) from None


def _import_http_app(name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    module = _import_module(module_name)
    try:
        return operator.attrgetter(attribute)(module)
    except AttributeError:
        raise BootError(f"wspulse: http_app: {module_name} has no attribute {attribute!r}", is_usage=True) from None


def _import(name: str) -> Server:
    module_name, _, attribute = name.partition(":")
    module = _import_module(module_name)
    try:
        server = operator.attrgetter(attribute)(module)
    except AttributeError:
        servers = sorted(found for found, value in vars(module).items() if isinstance(value, Server))
        hint = f"; its servers are {', '.join(servers)}" if servers else "; there is no Server in it"
        raise BootError(f"wspulse: app: {module_name} has no attribute {attribute!r}{hint}", is_usage=True) from None
    if not isinstance(server, Server):
        raise BootError(f"wspulse: app: {name} is of type {type(server).__name__}, not a wspulse.Server", is_usage=True)
    return server


def _options(overrides: dict[str, Any]) -> dict[str, Any]:
    """Names of the command line turned into the objects that they mean."""
    options = dict(overrides)
    if (codec := options.pop("codec", None)) is not None:
        options["codec"] = CODECS[codec]()
    if (origins := options.pop("allow_origin", None)) is not None:
        options["check_origin"] = OriginCheck(origins)
    if (http_app := options.get("http_app")) is not None:
        options["http_app"] = _import_http_app(http_app)
    return options
