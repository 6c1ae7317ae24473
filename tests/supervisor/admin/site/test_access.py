"""Who may read, and who may change something."""

from __future__ import annotations

from pathlib import Path

import pytest

from wspulse.supervisor.admin.site.access import Access, WrongTokenError
from wspulse.supervisor.admin.token_file import TokenFile

TOKEN = "one-token-0123456789"
LOCAL = {"host": "127.0.0.1:9000"}
SHOWN = {"authorization": f"Bearer {TOKEN}"}
JSON = {"content-type": "application/json"}


@pytest.fixture
def token(tmp_path: Path) -> TokenFile:
    (tmp_path / "token").write_text(TOKEN)
    return TokenFile(str(tmp_path / "token"))


def reading(access: Access, **headers: str) -> int:
    refusal = access.against_reading(LOCAL | {name.replace("_", "-"): value for name, value in headers.items()})
    return 200 if refusal is None else refusal.status


def changing(access: Access, **headers: str) -> int:
    fields = LOCAL | SHOWN | JSON | {name.replace("_", "-"): value for name, value in headers.items()}
    refusal = access.against_changing({name: value for name, value in fields.items() if value})
    return 200 if refusal is None else refusal.status


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "localhost:9000", "localhost", "[::1]:9000", "127.0.0.1"])
def test_who_is_on_this_machine_reads_without_a_token(token: TokenFile, host: str) -> None:
    assert reading(Access(token, is_local=True), host=host) == 200
    assert reading(Access(None, is_local=True), host=host) == 200


@pytest.mark.parametrize("host", ["evil.example:9000", "127.0.0.1.evil.example", "", "localhost.evil.example:9000"])
def test_site_whose_name_leads_to_this_machine_reads_nothing(token: TokenFile, host: str) -> None:
    """Its page is in the operator's browser, which takes our address for the site's own."""
    assert reading(Access(None, is_local=True), host=host) == 403
    assert reading(Access(token, is_local=True), host=host) == 401
    assert reading(Access(token, is_local=True), host=host, **SHOWN) == 200


def test_who_comes_from_elsewhere_reads_with_the_token_only(token: TokenFile) -> None:
    access = Access(token, is_local=False)
    assert reading(access) == 401
    assert reading(access, **SHOWN) == 200
    assert not access.may_read(LOCAL)


def test_changing_needs_the_token_and_json(token: TokenFile) -> None:
    access = Access(token, is_local=True)
    assert changing(access) == 200
    assert changing(access, content_type="application/json; charset=utf-8") == 200
    assert changing(access, authorization="") == 401
    for kind in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert changing(access, content_type=kind) == 415


def test_server_without_a_token_lets_nobody_change_anything() -> None:
    assert changing(Access(None, is_local=True)) == 403


@pytest.mark.parametrize(
    "foreign",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9001"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_pages_of_other_origins_are_refused_whatever_they_show(token: TokenFile, foreign: dict[str, str]) -> None:
    access = Access(token, is_local=True)
    assert changing(access, **foreign) == 403
    assert reading(access, **foreign) == 403


@pytest.mark.parametrize("own", [{"origin": "http://127.0.0.1:9000"}, {"sec_fetch_site": "same-origin"}])
def test_own_page_is_let_through(token: TokenFile, own: dict[str, str]) -> None:
    assert changing(Access(token, is_local=True), **own) == 200


@pytest.mark.parametrize("wrong", ["Bearer wrong-token-0123456789", f"Basic {TOKEN}", TOKEN, "Bearer"])
def test_wrong_token_is_told_apart_from_none(token: TokenFile, wrong: str) -> None:
    access = Access(token, is_local=True)
    with pytest.raises(WrongTokenError):
        changing(access, authorization=wrong)
    with pytest.raises(WrongTokenError):
        reading(access, authorization=wrong)
