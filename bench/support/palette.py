"""The colours of the charts: each legible on the light ground and on the dark one, which is the reader's choice."""

from __future__ import annotations

from bench.support.subjects import PEERS

__all__ = ["FLOOR", "OURS", "PEER", "colours", "in_turn", "opening"]

FLOOR, OURS, PEER = "#8b949e", "#1f7ae0", "#a05fc0"

_LINES = ("#d9730d", "#1a9e6f", "#b35bd6", "#d6336c", "#9a8a00", "#0d9aa8")

_STYLE = (
    "<style>"
    ".ground{fill:#fff}.ink{fill:#1f2328}.grid{stroke:#d0d7de}"
    "@media(prefers-color-scheme:dark){.ground{fill:#0d1117}.ink{fill:#e6edf3}.grid{stroke:#30363d}}"
    "</style>"
)


def opening(width: int, height: int) -> list[str]:
    """The beginning of a picture, up to its ground."""
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="13">',
        _STYLE,
        '<rect class="ground" width="100%" height="100%"/>',
    ]


def colours(names: list[str]) -> dict[str, str]:
    """A colour for each: peers differ from one another and are the same in every chart, variants of ours are alike."""
    peers = {name: _LINES[number % len(_LINES)] for number, name in enumerate(PEERS)}
    return {name: FLOOR if name.startswith("floor") else peers.get(name, OURS) for name in names}


def in_turn(names: list[str]) -> dict[str, str]:
    """A colour for each, where none of them is a server."""
    palette = (OURS, *_LINES, FLOOR)
    return {name: palette[number % len(palette)] for number, name in enumerate(names)}
