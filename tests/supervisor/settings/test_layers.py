"""The layers of settings, and what is said against a wrong value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wspulse.supervisor.errors import SettingError
from wspulse.supervisor.settings.layers import resolve, resolve_named


def test_defaults_are_those_of_the_documentation() -> None:
    settings = resolve({}, {})
    assert (settings.app, settings.host, settings.port, settings.path) == ("relay", None, 8000, "/ws")
    assert (settings.stall_timeout, settings.shutdown_timeout, settings.give_up_after) == (30.0, 10.0, 60.0)
    assert settings.workers >= 1
    assert settings.overrides == {}, "the application's own options stand"


def test_flag_beats_variable_beats_file(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('port = 1\nhost = "10.0.0.1"\nping-period = 3\nwrite_wait = 4.5\n')
    environ = {"WSPULSE_PORT": "2", "WSPULSE_HOST": "10.0.0.2", "WSPULSE_PING_PERIOD": "5", "PORT": "9"}
    settings = resolve({"port": "3", "config": str(file)}, environ)
    assert (settings.port, settings.host) == (3, ["10.0.0.2"])
    assert settings.overrides == {"ping_period": 5.0, "write_wait": 4.5}
    assert settings.sources == {"ping_period": "WSPULSE_PING_PERIOD", "write_wait": f"{file}: write_wait"}


def test_file_may_be_named_by_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("workers = 7\n")
    assert resolve({}, {"WSPULSE_CONFIG": str(file)}).workers == 7


def test_workers_may_be_as_many_as_the_machine_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wspulse.supervisor.settings.layers.usable_cores", lambda: 5)
    file = tmp_path / "server.toml"
    file.write_text('workers = "auto"\n')
    assert resolve({"workers": "auto"}, {"WSPULSE_WORKERS": "3"}).workers == 5, "a layer that says so beats the others"
    assert resolve({"config": str(file)}, {}).workers == 5
    assert resolve({"config": str(file)}, {"WSPULSE_WORKERS": "3"}).workers == 3
    with pytest.raises(SettingError, match=r"--workers: 'Auto' is not an integer; allowed: 1 … 1024, or auto"):
        resolve({"workers": "Auto"}, {})


def test_closes_are_spread_over_less_time_than_the_shutdown_has() -> None:
    settings = resolve({"drain_spread": "9.5"}, {})
    assert (settings.drain_spread, settings.handover_timeout) == (9.5, 10.0)
    for spread in ("10", "12"):
        with pytest.raises(
            SettingError, match=rf"--drain-spread: {spread} s is too long; it must be less than .* \(10 s\)"
        ):
            resolve({"drain_spread": spread}, {})
    assert resolve({"drain_spread": "12", "shutdown_timeout": "20"}, {}).drain_spread == 12


def test_empty_variable_counts_as_not_set() -> None:
    assert resolve({}, {"WSPULSE_PORT": ""}).port == 8000


def test_lists_come_from_repeated_flags_commas_and_arrays(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('subprotocol = ["v2", "v1"]\n')
    expected = {"subprotocols": ["v2", "v1"]}
    assert resolve({"subprotocol": ["v2", "v1"]}, {}).overrides == expected
    assert resolve({}, {"WSPULSE_SUBPROTOCOL": "v2, v1"}).overrides == expected
    assert resolve({"config": str(file)}, {}).overrides == expected


def test_addresses_of_a_cluster_may_have_commas_in_every_layer(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('cluster = ["nats://a:1", "nats://b:2,nats://c:3"]\n')
    expected = ["nats://a:1", "nats://b:2", "nats://c:3"]
    assert resolve({"cluster": ["nats://a:1,nats://b:2", "nats://c:3"]}, {}).cluster == expected
    assert resolve({}, {"WSPULSE_CLUSTER": "nats://a:1, nats://b:2,nats://c:3"}).cluster == expected
    assert resolve({"config": str(file)}, {}).cluster == expected
    with pytest.raises(SettingError, match="'' is not the address of a NATS server"):
        resolve({"cluster": ["nats://a:1,"]}, {})


def test_switch_is_read_from_every_layer(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text("suspend_on_clean_close = false\n")
    expected = {"suspend_on_clean_close": False}
    assert resolve({"suspend_on_clean_close": False}, {}).overrides == expected
    assert resolve({}, {"WSPULSE_SUSPEND_ON_CLEAN_CLOSE": "off"}).overrides == expected
    assert resolve({"config": str(file)}, {}).overrides == expected


def test_origins_are_brought_to_one_form() -> None:
    settings = resolve({"allow_origin": ["HTTPS://Example.com:443", "null"]}, {})
    assert settings.overrides == {"allow_origin": ["https://example.com", "null"]}


def test_unknown_variables_are_reported_not_refused() -> None:
    assert resolve({}, {"WSPULSE_PROT": "1", "OTHER": "x"}).unknown_variables == ("WSPULSE_PROT",)


@pytest.mark.parametrize(
    ("flags", "environ", "said"),
    [
        ({"port": "x"}, {}, "wspulse: --port: 'x' is not an integer; allowed: 0 … 65535"),
        ({"port": "65536"}, {}, "wspulse: --port: 65536 is out of range; allowed: 0 … 65535"),
        ({"workers": "0"}, {}, "wspulse: --workers: 0 is out of range; allowed: 1 … 1024"),
        ({"workers": "1025"}, {}, "wspulse: --workers: 1025 is out of range; allowed: 1 … 1024"),
        ({}, {"WSPULSE_WORKERS": "1e1"}, "wspulse: WSPULSE_WORKERS: '1e1' is not an integer; allowed: 1 … 1024"),
        ({"ping_period": "0"}, {}, "wspulse: --ping-period: 0 is out of range; allowed: above 0, up to 300 seconds"),
        (
            {"ping_period": "nan"},
            {},
            "wspulse: --ping-period: nan is out of range; allowed: above 0, up to 300 seconds",
        ),
        ({"resume_window": "soon"}, {}, "wspulse: --resume-window: 'soon' is not a number; allowed: 0 … 180 seconds"),
        ({"codec": "xml"}, {}, "wspulse: --codec: 'xml' is unknown; allowed: json, msgpack or raw"),
        ({"path": "ws"}, {}, "wspulse: --path: 'ws' is not a path; a path begins with / and has no query"),
        ({"path": "/healthz"}, {}, "wspulse: --path: '/healthz' is reserved for health checks"),
        ({"subprotocol": ["a b"]}, {}, "wspulse: --subprotocol: 'a b' is not a token"),
        ({"subprotocol": ["a", "a"]}, {}, "wspulse: --subprotocol: 'a' is listed twice"),
        ({"allow_origin": ["example.com"]}, {}, "wspulse: --allow-origin: 'example.com' is not an origin"),
        ({"app": "chat.py:server"}, {}, "wspulse: --app: 'chat.py:server' names a file; give its module: chat:server"),
        ({"app": "./chat:server"}, {}, "wspulse: --app: './chat:server' is neither MODULE:ATTR"),
        ({"app": "chat:"}, {}, "wspulse: --app: 'chat:' is neither MODULE:ATTR"),
        ({"host": ""}, {}, "wspulse: --host: '' is not a host"),
        (
            {},
            {"WSPULSE_SUSPEND_ON_CLEAN_CLOSE": "maybe"},
            "wspulse: WSPULSE_SUSPEND_ON_CLEAN_CLOSE: 'maybe' is neither",
        ),
    ],
)
def test_wrong_value_names_its_source_and_what_is_allowed(
    flags: dict[str, Any], environ: dict[str, str], said: str
) -> None:
    with pytest.raises(SettingError) as caught:
        resolve(flags, environ)
    assert str(caught.value).startswith(said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('port = "8000"', "port: '8000' is not an integer; allowed: 0 … 65535"),
        ("port = true", "port: True is not an integer"),
        ("ping_period = false", "ping_period: False is not a number"),
        ("suspend_on_clean_close = 1", "suspend_on_clean_close: 1 is neither true nor false"),
        ('subprotocol = "a"', "subprotocol: 'a' is not an array of strings"),
        ("prot = 1", "unknown key 'prot'; did you mean port?"),
        ("zzzzzz = 1", "unknown key 'zzzzzz'; allowed: acc"),
        ('config = "other.toml"', "unknown key 'config'"),
        ("port = ", "is not TOML: "),
    ],
)
def test_wrong_file_names_its_key(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(text)
    with pytest.raises(SettingError) as caught:
        resolve({"config": str(file)}, {})
    assert str(caught.value).startswith(f"wspulse: {file}: {said}")
    assert "\n" not in str(caught.value)


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be read: No such file or directory"):
        resolve({"config": str(tmp_path / "none.toml")}, {})


def test_few_settings_are_read_as_the_server_reads_them_and_no_others(tmp_path: Path) -> None:
    file = tmp_path / "server.toml"
    file.write_text('port = 9000\ncontrol = "ipc:///run/c.sock"\nping_period = "wrong"\n')
    names = {"port", "control"}
    assert resolve_named(names, str(file), {}) == {"port": 9000, "control": "ipc:///run/c.sock"}
    assert resolve_named(names, None, {"WSPULSE_CONFIG": str(file), "WSPULSE_PORT": "9001"})["port"] == 9001
    assert resolve_named(names, None, {"WSPULSE_HOST": "127.0.0.2"}) == {}
    with pytest.raises(SettingError, match=r"^wspulse: WSPULSE_PORT: 'x' is not an integer"):
        resolve_named(names, str(file), {"WSPULSE_PORT": "x"})


def test_workers_complaint_blames_the_option_that_was_given() -> None:
    pong = "wspulse: pong_wait: 30 must be above ping_period (40)"
    said = "wspulse: --ping-period does not go with pong_wait: 30 must be above ping_period (40)"
    assert resolve({"ping_period": "40"}, {}).with_source(pong) == said
    assert resolve({"pong_wait": "30"}, {}).with_source(pong) == pong.replace("pong_wait:", "--pong-wait:")
    assert resolve({}, {}).with_source(pong) == pong


def test_only_addresses_that_are_not_flags_yield_to_another_server() -> None:
    named = {"WSPULSE_CONTROL": "ipc:///run/c.sock", "WSPULSE_ADMIN": "127.0.0.1:9000"}
    beside = resolve({"port": "0"}, named)
    assert beside.yields("control")
    assert beside.yields("admin")
    assert not resolve({"port": "8001"}, named).yields("control")
    assert not resolve({}, {**named, "WSPULSE_PORT": "0"}).yields("control")
    assert not resolve({"port": "0", "control": "ipc:///run/c.sock"}, named).yields("control")


@pytest.mark.parametrize(
    ("flags", "environ", "key"),
    [
        ({"cluster": ["nats://a:1,tls://b", "nats://a:1"]}, {}, ""),
        ({}, {"WSPULSE_CLUSTER": "nats://a:1, tls://b"}, ""),
        ({}, {}, 'cluster = "nats://a:1,tls://b"'),
        ({}, {}, 'cluster = ["nats://a:1", "tls://b"]'),
    ],
)
def test_addresses_of_nats_servers_are_listed_in_any_way(
    tmp_path: Path, flags: dict[str, Any], environ: dict[str, str], key: str
) -> None:
    (tmp_path / "server.toml").write_text(key)
    settings = resolve({**flags, "config": str(tmp_path / "server.toml")}, environ)
    assert settings.cluster == ["nats://a:1", "tls://b"]


@pytest.mark.parametrize(
    "value",
    [
        '"http://me:secret@host"',
        '"nats://me:secret"',
        '"me:secret@host:4222"',
        '"nats:/me:secret@host"',
        '"nats://me:sec,ret@host"',
        '"nats://me:secret@host/"',
        '{ url = "nats://me:secret@host" }',
        "[]",
        "7",
    ],
)
def test_address_of_a_nats_server_that_is_wrong_is_refused_without_its_password(tmp_path: Path, value: str) -> None:
    (tmp_path / "server.toml").write_text(f"cluster = {value}")
    with pytest.raises(SettingError) as raised:
        resolve({"config": str(tmp_path / "server.toml")}, {})
    assert "address" in str(raised.value)
    assert "sec" not in str(raised.value)


@pytest.mark.parametrize("password", ["a/secret", "a#secret", "a?secret", "/", "1/secret"])
def test_password_that_is_not_encoded_is_told_without_it(password: str) -> None:
    with pytest.raises(SettingError, match="the user and password before 'nats://host:4222' cannot be read") as raised:
        resolve({"cluster": [f"nats://me:{password}@host:4222"]}, {})
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("name", ["", "\udcff", "a\n", "ö" * 101])
def test_name_of_a_host_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(SettingError, match="is not a name for a host; allowed: up to 200 bytes of printable text"):
        resolve({"cluster": ["nats://a"], "host_id": name}, {})
