"""The package as a user installs it: a wheel, built from the sdist, away from the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.processes.server_process import start_process

ROOT = Path(__file__).parents[2]


def tracked(*folders: str) -> list[str]:
    """The files of the repository, as they are in the working tree."""
    listing = subprocess.run(["git", "ls-files", *folders], cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listing.stdout.split() if (ROOT / name).exists()]


class Builder:
    """Calls the build system of pyproject.toml as pip and `build` do (PEP 517)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        system = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
        self._backend: str = system["build-backend"]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run(
            [*pip, "install", "--target", str(folder / "tools"), *system["requires"]], check=True, timeout=100
        )

    def build(self, kind: str, source: Path) -> Path:
        """The "sdist" or the "wheel" of a source tree, in a folder of its own."""
        made = self._folder / f"{kind} of {source.name}"
        made.mkdir()
        call = f"import sys, {self._backend} as backend; backend.build_{kind}(sys.argv[1])"
        env = {**os.environ, "PYTHONPATH": str(self._folder / "tools")}
        subprocess.run(
            [sys.executable, "-c", call, str(made)], cwd=source, env=env, check=True, timeout=100, capture_output=True
        )
        (file,) = made.iterdir()
        return file


class Built(NamedTuple):
    sdist: Path
    wheel: Path
    """Made of the sdist."""
    wheel_of_checkout: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    # From a copy: what an earlier build left in the source's folder would go into the wheel.
    for name in tracked():
        (folder / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "checkout" / name)
    builder = Builder(folder)
    sdist = builder.build("sdist", folder / "checkout")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return Built(sdist, builder.build("wheel", unpacked), builder.build("wheel", folder / "checkout"))


@pytest.fixture(scope="module")
def installed(built: Built) -> Path:
    """A folder with the installed wheel in it."""
    site = built.wheel.parent.parent / "site"
    with zipfile.ZipFile(built.wheel) as archive:
        archive.extractall(site)
    return site


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_sdist_makes_the_wheel_that_the_checkout_makes(built: Built) -> None:
    assert built.wheel.name == built.wheel_of_checkout.name
    assert contents(built.wheel) == contents(built.wheel_of_checkout)


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
