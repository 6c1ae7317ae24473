"""The package as a user installs it: built from the source, away from the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests.support.processes.server_process import start_process

ROOT = Path(__file__).parents[2]


def tracked(*folders: str) -> list[str]:
    """The files of the repository, as they are in the working tree."""
    listing = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listing.stdout.split() if (ROOT / name).exists()]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel in it."""
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: what an earlier build left in the source's folder would go into the wheel.
    for name in tracked():
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(folder / "source")]
    subprocess.run(build, check=True, timeout=100)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_wheel_holds_every_module_and_data_file_of_the_source(installed: Path) -> None:
    packaged = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    places = {"actors/public/": "wspulse/", "actors/pytest_plugin/": "_wspulse_pytest/"}
    wanted = set()
    for name in tracked("actors", "supervisor"):
        place = next((place for place in places if name.startswith(place)), "")
        wanted.add(places.get(place, "wspulse/") + name.removeprefix(place))
    assert wanted - packaged == set(), "these would be missing for everybody who installs it"
    assert "wspulse/py.typed" in packaged


def test_metadata_says_where_documents_source_changes_and_issues_are(installed: Path) -> None:
    (metadata,) = installed.glob("wspulse-*.dist-info/METADATA")
    urls = [line.removeprefix("Project-URL: ") for line in metadata.read_text().splitlines() if "Project-URL: " in line]
    assert [url.partition(", ")[0] for url in urls] == ["Documentation", "Source", "Changelog", "Issues"]
    assert all(url.partition(", ")[2].startswith("https://") for url in urls)


def test_installed_package_serves_from_the_root_folder(installed: Path) -> None:
    env = {"PYTHONPATH": str(installed)}
    found = subprocess.run(
        [sys.executable, "-c", "import wspulse; print(wspulse.__file__)"],
        cwd="/",
        env={**os.environ, **env},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert found.strip() == str(installed / "wspulse" / "__init__.py")
    with start_process("--workers", "2", "--app", "echo", "--port", "0", env=env, cwd="/") as server:
        server.await_ready()


def test_project_of_the_starter_passes_its_tests_and_serves(installed: Path, tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(installed)}

    def run(*arguments: str, cwd: Path) -> str:
        command = [sys.executable, *arguments]
        finished = subprocess.run(
            command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout

    cli = "from wspulse.supervisor.cli import main; raise SystemExit(main())"
    assert "cd tea\n" in run("-c", cli, "new", "tea", cwd=tmp_path)
    project = tmp_path / "tea"
    assert " passed" in run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    with start_process("--config", "wspulse.toml", "--workers", "1", "--port", "0", env=env, cwd=project) as server:
        server.await_ready()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=10) as page:
            assert b"<title>tea</title>" in page.read()
