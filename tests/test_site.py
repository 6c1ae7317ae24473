"""The documents become a site: every page is in its navigation, every link leads somewhere, and the search finds them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_documents_build_into_a_site_without_a_warning(tmp_path: Path) -> None:
    command: list[str | Path] = [ROOT / "scripts" / "docs", "build", "--quiet", "--site-dir", tmp_path / "site"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (finished.returncode, finished.stdout + finished.stderr) == (0, "")
    index = json.loads((tmp_path / "site" / "search" / "search_index.json").read_text())
    found = {entry["location"] for entry in index["docs"] if "resume_window" in entry["text"]}
    assert "doc/reference/options/" in {location.partition("#")[0] for location in found}
    outside = [page for page in (tmp_path / "site").rglob("*.html") if 'src="http' in page.read_text()]
    assert outside == [], "a page loads something from elsewhere"
