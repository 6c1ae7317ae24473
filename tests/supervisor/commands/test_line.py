"""`wspulse listen` and `wspulse talk`, against a server that plays a script: what they print, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.clients.scripted_server import ScriptedServer
from wspulse.actors.values.frame import Frame, MsgpackFrame
from wspulse.supervisor.cli import main
from wspulse.supervisor.commands.line import _frame_text
from wspulse.supervisor.commands.typed_lines import LongLineError, typed_lines

FRAMES = [
    {"send": {"event": "a", "payload": {"n": 1}}},
    {"send": {"event": "b", "id": "7"}},
    {"send": {"event": "a", "payload": "\x1b[2J"}},
]


@asynccontextmanager
async def run(
    name: str, *arguments: str, server: list[list[Any]], stdin: bytes = b""
) -> AsyncIterator[tuple[int, str, str]]:
    """The command against that server, to its end: exit code, stdout, stderr."""
    async with ScriptedServer({"name": "", "server": server}) as scripted:
        program = "import sys; from wspulse.supervisor.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", program, name, f"ws://127.0.0.1:{scripted.port}/ws", *arguments]
        finished = await asyncio.to_thread(
            subprocess.run, command, input=stdin, capture_output=True, timeout=30, check=False
        )
        assert await scripted.report() == {"ok": True, "failures": []}
        yield finished.returncode, finished.stdout.decode(), finished.stderr.decode()


async def test_listen_prints_a_line_for_each_frame_and_ends_after_as_many_as_it_was_asked_for() -> None:
    async with run("listen", "--count", "3", server=[[{"session": {}}, *FRAMES]]) as (code, out, err):
        assert (code, out) == (0, 'a {"n":1}\nb\na "\\u001b[2J"\n')
        assert err == "wspulse: connected\n"


async def test_listen_prints_json_for_programs_and_the_events_that_are_meant() -> None:
    async with run("listen", "--json", "--count", "1", "b", server=[[{"session": {}}, *FRAMES]]) as (code, out, _err):
        assert (code, json.loads(out)) == (0, {"id": "7", "event": "b", "payload": None})


async def test_listen_tells_of_its_line_on_stderr_and_ends_with_1_where_the_server_closed_it() -> None:
    server: list[list[Any]] = [
        [{"session": {}}, {"close": [1012, "service restart; retry=30"]}],
        [{"session": {"token": "u"}}, {"send": {"event": "wspulse.lost", "payload": 3}}, {"close": [4001, "no more"]}],
    ]
    async with run("listen", server=server) as (code, out, err):
        assert (code, out) == (1, "")
        assert err.splitlines() == [
            "wspulse: connected",
            "wspulse: reconnecting in 0.0 s: 1012 service restart; retry=30",
            "wspulse: the session is a new one: frames may have been lost",
            "wspulse: connected",
            "wspulse: 3 frames lost",
            "wspulse: the line is closed: 4001 no more",
        ]


async def test_refusal_is_1_and_no_server_at_all_is_3() -> None:
    async with run("listen", server=[[{"http": 401}]]) as (code, _out, err):
        assert (code, err) == (1, "wspulse: the line is closed: 1006 refused with 401: refused\n")
    async with run("listen", "--tries", "1", server=[[{"http": 500}], [{"reset": True}]]) as (code, _out, err):
        assert code == 3
        assert err.splitlines()[0].endswith("1006 refused with 500: refused")


async def test_talk_sends_its_lines_prints_what_comes_and_ends_when_all_has_arrived() -> None:
    server: list[list[Any]] = [
        [
            {"session": {}},
            {"expect": {"event": "a", "payload": {"n": 1}}},
            {"expect": {"event": "b"}},
            {"send": {"event": "answer", "payload": 5}},
            {"reset": True},
        ],
        [
            {"session": {"recovered": True, "received": 1}},
            {"expect": {"event": "b"}},
            {"send": {"event": "wspulse.ack", "payload": 2}},
            {"expect_close": [1000]},
        ],
    ]
    async with run("talk", server=server, stdin=b'a {"n": 1}\n\nb') as (code, out, _err):
        assert (code, out) == (0, "answer 5\n")


async def test_talk_with_nothing_to_send_says_so() -> None:
    async with run("talk", server=[[{"session": {}}]]) as (code, out, err):
        assert (code, out) == (2, "")
        assert err.splitlines()[-1] == "wspulse: nothing was sent: stdin is empty"


async def test_talk_takes_texts_of_one_event() -> None:
    steps: list[dict[str, Any]] = [{"session": {}}, {"expect": {"event": "said", "payload": "two words"}}]
    steps += [{"send": {"event": "wspulse.ack", "payload": 1}}]
    async with run("talk", "--event", "said", "--text", server=[steps], stdin=b"two words\r\n") as (code, _out, _err):
        assert code == 0


async def test_talk_says_what_is_no_json() -> None:
    async with run("talk", server=[[{"session": {}}]], stdin=b"a {n: 1}\n") as (code, _out, err):
        assert code == 2
        assert "wspulse: the payload is not JSON: " in err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["listen"], "the following arguments are required: URL"),
        (["listen", "example.com"], "connect: example.com isn't a valid URI"),
        (["listen", "ws://127.0.0.1:1", "--codec", "xml"], "--codec: invalid choice: 'xml'"),
        (["listen", "ws://127.0.0.1:1", "--header", "no header"], "'no header' is not a header"),
        (["listen", "ws://127.0.0.1:1", "--count", "0"], "--count: 0 is out of range"),
        (["talk", "ws://127.0.0.1:1", "--tries", "x"], "--tries: 'x' is not an integer"),
    ],
)
def test_wrong_use_is_said_in_one_line(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"wspulse: {problem}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (Frame("a", "text"), "text"),
        (MsgpackFrame("a", msgspec.Raw(b"\xc7\x01\x05x")), 'a {"code":5,"data":"eA=="}'),
        (Frame("", b"\x00\x01"), '"AAE="'),
    ],
)
def test_what_is_no_json_is_shown_all_the_same(frame: Frame, text: str) -> None:
    assert _frame_text(frame, as_json=False).endswith(text)


async def test_lines_are_read_as_they_come_and_the_last_one_needs_no_end() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"one\r\ntwo\nthr")
    lines = typed_lines(reader)
    assert [await anext(lines), await anext(lines)] == ["one", "two"]
    os.write(writer, b"ee \xff")
    os.close(writer)
    assert [line async for line in lines] == ["three �"]
    os.close(reader)


async def test_line_without_end_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("wspulse.supervisor.commands.typed_lines._LONGEST_BYTES", 1000)
    (tmp_path / "long").write_bytes(b"x" * 100_000)
    descriptor = os.open(tmp_path / "long", os.O_RDONLY)
    with pytest.raises(LongLineError):
        await anext(typed_lines(descriptor))
    os.close(descriptor)
