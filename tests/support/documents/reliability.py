"""The generated parts of doc/inside/reliability.md, of what scripts/chaos and scripts/soak have kept.

What has not been run has no figures; how to run it stands there instead.
"""

from __future__ import annotations

from typing import Any

from tests.support.chaos.records import kept as kept_rows
from tests.support.chaos.rows import ROWS
from tests.support.soak.records import kept as kept_soak

__all__ = ["chaos_table", "soak_table"]


def chaos_table() -> str:
    """What is done, what is promised, what was seen."""
    records = kept_rows()
    run = [row.name for row in ROWS if row.name in records]
    lines = []
    if run:
        lines += [_when([records[name] for name in run]), ""]
        lines += [
            "| `scripts/chaos` | what is done | what is promised | what was seen | |",
            "| --- | --- | --- | --- | --- |",
        ]
        for row in ROWS:
            if row.name in records:
                record = records[row.name]
                seen, held = (
                    "<br>".join(_cell(each) for each in record["seen"]),
                    "held" if record["held"] else "**not held**",
                )
                lines.append(f"| `{row.name}` | {row.title} | {row.promised} | {seen} | {held} |")
    missing = [row.name for row in ROWS if row.name not in records]
    if missing:
        lines += [*([""] if run else []), f"Not run: {', '.join(f'`{name}`' for name in missing)}."]
        lines.append("`scripts/chaos --keep`, with their names or without, runs them.")
    return "\n".join(lines)


def soak_table() -> str:
    """The plot, the verdict, and what each kind of clients counted."""
    record = kept_soak()
    if record is None:
        return "Not run. `scripts/soak --keep` runs it for half an hour."
    plan = record["plan"]
    lines = [
        _when([record]),
        "",
        _sentences(plan, record),
        "",
        "![memory, descriptors and round trips over the minutes of the soak](../../bench/results/reliability/soak.svg)",
        "",
        "| what | promised | seen | |",
        "| --- | --- | --- | --- |",
    ]
    for each in record["findings"]:
        held = "held" if each["held"] else "**not held**"
        lines.append(f"| {_cell(each['what'])} | {each['promised']} | {each['seen']} | {held} |")
    shown = ("clients", "said", "heard", "lost", "doubled", "missed", "came_back")
    lines += [
        "",
        f"| clients | {' | '.join(_HEADS.get(name, name) for name in shown)} |",
        "| --- |" + " --: |" * len(shown),
    ]
    lines += [f"| {kind['kind']} | {' | '.join(f'{kind[name]:,}' for name in shown)} |" for kind in record["kinds"]]
    return "\n".join(lines)


def _sentences(plan: dict[str, Any], record: dict[str, Any]) -> str:
    return (
        f"{plan['duration_s'] / 60:g} minutes, {plan['clients']} clients, a sample every {plan['sample_every_s']:g} s. "
        f"{record['reloads']} reloads moved {record['moved']:,} sessions; none was held up for longer than "
        f"{record['longest_pause_s']:.2f} s."
    )


_HEADS = {"clients": "how many", "came_back": "sockets cut", "missed": "missed, as allowed"}


def _when(records: list[dict[str, Any]]) -> str:
    days = sorted({str(record["when"])[:10] for record in records})
    commits = ", ".join(dict.fromkeys(record["commit"] for record in records))
    machine = records[-1]["machine"]
    loads = [record["machine"]["load_average"] for record in records]
    load = f"{min(loads)} to {max(loads)}" if len(set(loads)) > 1 else f"{loads[0]}"
    return (
        f"{' to '.join(dict.fromkeys((days[0], days[-1])))}, commit {commits}; {machine['processor']}, {machine['cores']} cores, "
        f"Linux {machine['kernel']}, Python {machine['python']}; load average {load}."
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
