"""What `--app` and the server options on the command line become in a worker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wspulse.actors.values.codec import MsgpackCodec, RawCodec
from wspulse.supervisor.worker.application import BootError, load_application


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text)


SERVER = "from wspulse import Server\nserver = Server(lambda request: ('a', 'b'), max_message_size=77)\n"


def test_server_of_the_current_folder_keeps_its_own_options(folder: Path) -> None:
    write(folder, "chat_of_test", SERVER)
    options = load_application("chat_of_test:server", {}).options
    assert (options.max_message_size, options.ping_period) == (77, 10.0)
    assert sys.path[0] == str(folder)


def test_overrides_beat_the_applications_options(folder: Path) -> None:
    write(folder, "chat_of_test", SERVER)
    overrides = {"max_message_size": 88, "codec": "raw", "allow_origin": ["https://a.example"], "subprotocols": ["v1"]}
    options = load_application("chat_of_test:server", overrides).options
    assert options.max_message_size == 88
    assert isinstance(options.codec, RawCodec)
    assert options.check_origin is not None
    assert options.subprotocols == ("v1",)


def test_attribute_may_be_dotted(folder: Path) -> None:
    write(folder, "chat_of_test", SERVER + "class App:\n    inner = server\n")
    assert load_application("chat_of_test:App.inner", {}).options.max_message_size == 77


def test_builtin_applications_have_their_own_message_size() -> None:
    assert load_application("relay", {}).options.max_message_size == 64 * 1024
    assert isinstance(load_application("echo", {"codec": "msgpack"}).options.codec, MsgpackCodec)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("chat_of_test:nothing", "chat_of_test has no attribute 'nothing'; its servers are server"),
        ("chat_of_test:number", "chat_of_test:number is of type int, not a wspulse.Server"),
        (
            "nothing",
            "'nothing' is not a built-in application; for one of your own give MODULE:ATTR, such as nothing:server",
        ),
    ],
)
def test_wrong_name_is_a_matter_of_usage(folder: Path, name: str, said: str) -> None:
    write(folder, "chat_of_test", SERVER + "number = 3\n")
    with pytest.raises(BootError) as caught:
        load_application(name, {})
    assert caught.value.is_usage
    assert said in caught.value.text
    assert "\n" not in caught.value.text


def test_option_that_does_not_fit_the_applications_others_is_a_matter_of_usage(folder: Path) -> None:
    write(folder, "chat_of_test", SERVER)
    with pytest.raises(BootError, match="pong_wait: 5 must be above ping_period") as caught:
        load_application("chat_of_test:server", {"pong_wait": 5.0})
    assert caught.value.is_usage


def test_error_at_import_shows_the_applications_frames_only(folder: Path) -> None:
    write(folder, "chat_of_test", "def inner():\n    raise LookupError('why')\n\ninner()\n")
    with pytest.raises(BootError) as caught:
        load_application("chat_of_test:server", {})
    assert not caught.value.is_usage
    assert caught.value.text.startswith("Traceback (most recent call last):")
    assert caught.value.text.endswith("LookupError: why\n")
    assert "importlib" not in caught.value.text
    assert "application.py" not in caught.value.text


def test_server_without_connect_is_a_matter_of_usage(folder: Path) -> None:
    write(folder, "chat_of_test", "from wspulse import Server\nserver = Server()\n")
    with pytest.raises(BootError, match="connect: required") as caught:
        load_application("chat_of_test:server", {})
    assert caught.value.is_usage


@pytest.mark.parametrize("text", ["import sys; sys.exit(1)", "def broken(:", "raise KeyboardInterrupt"])
def test_every_way_to_fail_at_import_is_told(folder: Path, text: str) -> None:
    write(folder, "chat_of_test", text)
    with pytest.raises(BootError) as caught:
        load_application("chat_of_test:server", {})
    assert not caught.value.is_usage
