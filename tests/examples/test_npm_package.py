"""examples/browser/npm: what is packed there is the module that servers have, with its types, and a program can import it."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.processes.node import node_of, run_node

ROOT = Path(__file__).parents[2]
NPM = shutil.which("npm")
PACKED = ("wspulse.js", "wspulse.d.ts")


def install(tmp_path: Path) -> Path:
    """Pack the package, and unpack it as one of a program's; the program."""
    assert NPM is not None
    copied = tmp_path / "repository"
    folder = copied / "examples" / "browser" / "npm"
    shutil.copytree(
        ROOT / "examples" / "browser" / "npm", folder, ignore=shutil.ignore_patterns(*PACKED, "LICENSE", "*.tgz")
    )
    shutil.copytree(ROOT / "actors" / "apps" / "page", copied / "actors" / "apps" / "page")
    shutil.copy(ROOT / "LICENSE", copied)
    subprocess.run(
        [NPM, "pack", "--offline", "--cache", str(tmp_path / "cache"), "--pack-destination", str(tmp_path)],
        cwd=folder,
        capture_output=True,
        check=True,
        timeout=120,
    )
    (archive,) = tmp_path.glob("*.tgz")
    installed = tmp_path / "program" / "node_modules"
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    installed.mkdir(parents=True)
    shutil.move(tmp_path / "unpacked" / "package", installed / "wspulse")
    names = sorted(path.name for path in (installed / "wspulse").iterdir())
    assert names == ["LICENSE", "README.md", "package.json", "wspulse.d.ts", "wspulse.js"]
    for name in PACKED:
        assert (installed / "wspulse" / name).read_bytes() == (ROOT / "actors" / "apps" / "page" / name).read_bytes()
    program = tmp_path / "program" / "main.mjs"
    program.write_text('import { connect } from "wspulse"; console.log(JSON.stringify(typeof connect));')
    return program


@pytest.mark.skipif(NPM is None, reason="no npm here (Debian: apt-get install npm)")
@pytest.mark.skipif(node_of("22") is None, reason="no Node 22 here; scripts/node brings it, where it may")
async def test_package_has_the_module_that_servers_have(tmp_path: Path) -> None:
    program = await asyncio.to_thread(install, tmp_path)
    output, _ = await run_node("22", str(program))
    assert json.loads(output) == "function"
