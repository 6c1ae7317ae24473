"""The subcommands that steer a server, in front of a client that is only pretended: what they ask for, and what they print."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import pytest

from wspulse.supervisor.cli import main
from wspulse.supervisor.protocol.calls import Call
from wspulse.supervisor.protocol.types import ConnectionInfo, Listing, MovedInfo, ScaledInfo, ShardMovedInfo


class PretendedControl:
    """Keeps what is asked of it, and answers with what the test put there by the operation's name."""

    endpoint = "tcp://127.0.0.1:1"

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answers: dict[str, Any] = {}

    def __enter__(self) -> PretendedControl:
        return self

    def __exit__(self, *_ended: object) -> None:
        self.asked.append(("closed",))

    def call(self, call: Call[Any], timeout: float | None = None) -> Any:
        """What may take longer than other operations."""
        self.asked.append((call.op, *call.args.values(), timeout))
        return self.answers[call.op]

    def __getattr__(self, operation: str) -> Any:
        def ask(*arguments: Any, **named: Any) -> Any:
            self.asked.append((operation, *arguments, *named.values()))
            return self.answers.get(operation)

        return ask


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> PretendedControl:
    pretended = PretendedControl()
    monkeypatch.setattr("wspulse.supervisor.commands.control.Control", lambda *_where, **_keys: pretended)
    return pretended


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (["kick", "--", "-evil"], ("kick", "-evil", 1000, "kicked")),
        (["kick", "--port", "8001", "--", "-evil"], ("kick", "-evil", 1000, "kicked")),
        (["kick", "--", "--"], ("kick", "--", 1000, "kicked")),
        (["kick", "--", "--port"], ("kick", "--port", 1000, "kicked")),
        (["kick", "--", "plain"], ("kick", "plain", 1000, "kicked")),
        (["kick", "plain", "--"], ("kick", "plain", 1000, "kicked")),
        (["kick", "-7"], ("kick", "-7", 1000, "kicked")),
        (["connections", "--json", "--", "-room"], ("connections", "-room")),
        (["events", "worker.", "--json", "--", "connect.-x", "drop."], ("events", "worker.", "connect.-x", "drop.")),
        (["restart", "--", "1"], ("restart", 1, None)),
        (["restart", "--drain", "1"], ("restart", 1, True, None)),
        (["reload"], ("reload", None)),
        (["reload", "--drain", "--json"], ("reload", True, None)),
        (["reload", "--timeout", "15"], ("reload", 15.0)),
        (["scale", "3"], ("scale", 3, None)),
        (["join", "--", "-evil", "den"], ("join", "-evil", "den")),
        (["leave", "ada", "den"], ("leave", "ada", "den")),
    ],
)
def test_what_stands_behind_two_dashes_is_no_option(
    arguments: list[str], asked: tuple[Any, ...], control: PretendedControl, capsys: pytest.CaptureFixture[str]
) -> None:
    moved: dict[str, Any] = {"moved": 1, "drained": 0, "longest_pause_s": 0.0}
    control.answers = {
        "connections": Listing(),
        "events": _NoEvents(),
        "restart": MovedInfo(**moved),
        "reload": [ShardMovedInfo(shard=0, **moved)],
        "scale": ScaledInfo(workers=3, **moved),
    }
    assert main(arguments) == 0, capsys.readouterr().err
    assert control.asked == [asked, ("closed",)]


class _NoEvents:
    def __enter__(self) -> list[Any]:
        return []

    def __exit__(self, *_ended: object) -> None:
        pass


def test_a_frame_goes_to_an_id_that_begins_with_a_dash(control: PretendedControl) -> None:
    assert main(["send", "--event", "news", "--", "-evil", '{"a": 1}']) == 0
    operation, connection, frame = control.asked[0]
    assert (operation, connection, frame.event, bytes(frame.payload)) == ("send", "-evil", "news", b'{"a": 1}')
    control.answers = {"connections": Listing()}
    assert main(["broadcast", "--text", "--", "-room", "-text-"]) == 0
    operation, room, frame, excluded = control.asked[3]
    assert (operation, room, frame.payload, excluded) == ("broadcast", "-room", "-text-", [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["kick", "--", "-a", "-b"], "wspulse: unexpected argument: -b (see wspulse kick --help)\n"),
        (
            ["restart", "--", "-x"],
            "wspulse: SHARD: '-x' is not an integer; allowed: 0 … 1023 (see wspulse restart --help)\n",
        ),
        (
            ["scale", "0"],
            "wspulse: WORKERS: 0 is out of range; allowed: 1 … 1024 (see wspulse scale --help)\n",
        ),
        (["kick", "-evil"], "; put an id that begins with a dash after -- (see wspulse kick --help)\n"),
    ],
)
def test_wrong_words_are_named_as_they_were_given(
    arguments: list[str], said: str, control: PretendedControl, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.endswith(said)
    assert control.asked == []


@pytest.mark.parametrize("command", ["connections", "rooms"])
@pytest.mark.parametrize("option", [[], ["--json"]])
def test_list_that_is_incomplete_says_so_beside_what_it_has(
    command: str, option: list[str], control: PretendedControl, capsys: pytest.CaptureFixture[str]
) -> None:
    listing: Listing[Any] = Listing()
    control.answers = {command: listing}
    assert main([command, *option]) == 0
    whole = capsys.readouterr()
    assert whole.err == ""
    listing.missing_shards = (1, 3)
    assert main([command, *option]) == 0
    printed = capsys.readouterr()
    assert printed.out == whole.out
    assert printed.err == "wspulse: incomplete: no answer from shards 1, 3; their connections are missing\n"
    listing.missing_shards = (2,)
    assert main([command, *option]) == 0
    assert capsys.readouterr().err == "wspulse: incomplete: no answer from shard 2; its connections are missing\n"


@pytest.mark.parametrize(
    ("ids", "excluded", "said"),
    [
        ((), (), "sent to 0 sessions\n"),
        (("ada",), (), "sent to 1 session\n"),
        (("ada", "bob"), ("bob", "eve"), "sent to 1 session\n"),
    ],
)
def test_broadcast_says_how_many_sessions_it_reached(
    ids: tuple[str, ...],
    excluded: tuple[str, ...],
    said: str,
    control: PretendedControl,
    capsys: pytest.CaptureFixture[str],
) -> None:
    members = [
        ConnectionInfo(id=each, room="den", shard=0, state="connected", connected_at=0.0, queued=0) for each in ids
    ]
    control.answers = {"connections": Listing(members)}
    assert main(["broadcast", "den", "1", *(f"--exclude={each}" for each in excluded)]) == 0
    assert capsys.readouterr().out == said
    assert control.asked[:2] == [("connections", "den"), ("broadcast", "den", control.asked[1][2], [*excluded])]


@pytest.mark.parametrize("arguments", [["send", "ada"], ["send", "ada", "-"], ["broadcast", "den", "--text"]])
def test_empty_input_is_no_payload(
    arguments: list[str],
    control: PretendedControl,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("wspulse: the payload is missing: stdin is empty")
    assert control.asked == []


def test_frame_without_a_payload_is_one_whose_payload_is_given_as_nothing(control: PretendedControl) -> None:
    assert main(["send", "ada", "", "--event", "ping"]) == 0
    frame = control.asked[0][2]
    assert (frame.event, frame.payload) == ("ping", msgspec.UNSET)


@pytest.mark.parametrize("topic", ["nonsense", "worker.nonsense", "connected", "connect.x"])
def test_topics_that_no_event_has_are_refused_with_those_there_are(
    topic: str, control: PretendedControl, capsys: pytest.CaptureFixture[str]
) -> None:
    control.answers = {"events": _NoEvents()}
    code = main(["events", topic])
    if topic == "connect.x":
        assert code == 0
        return
    assert code == 2
    told = capsys.readouterr().err
    assert f"no event has the topic '{topic}'; topics are connect.ROOM, " in told
    assert "worker.died" in told
    assert control.asked == []
