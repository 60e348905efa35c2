"""The table of the README, made from the recorded results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping, Sequence

BEGIN, END = "<!-- begin: made by ./record from results/ -->\n", "<!-- end -->\n"


def recorded(root: Path) -> list[Mapping[str, Any]]:
    """Returns the recorded results, those that pass most first, with what is to be said of each."""
    results = []
    for file in sorted((root / "results").glob("*.json")):
        about = root / "servers" / file.stem / "about.json"
        trade_offs = json.loads(about.read_text(encoding="utf-8"))["trade_offs"]
        results.append({**json.loads(file.read_text(encoding="utf-8")), "trade_offs": trade_offs})
    return sorted(results, key=lambda result: -_passed(result))


def renewed(readme: str, results: Sequence[Mapping[str, Any]]) -> str:
    """Returns the README with the table of these results."""
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    return head + BEGIN + "\n" + _table(results) + "".join(map(_about, results)) + "\n" + END + tail


def _table(results: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        _row("", "", *(_title(result) for result in results)),
        _row("---", "---", *("---" for _ in results)),
    ]
    for cases in zip(*(result["cases"] for result in results)):
        lines.append(_row(str(cases[0]["number"]), cases[0]["claim"], *map(_cell, cases)))
    passed = (f"{_passed(result)} of {len(result['cases'])}" for result in results)
    return "".join([*lines, _row("", "passed", *passed)])


def _about(result: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    others = (case for case in result["cases"] if case["verdict"] != "pass")
    saw = [f"case {case['number']}, {case['saw']}" for case in others]
    parts = [
        f"\n**{_title(result)}** ({result['from']}), {result['date']}, "
        f"with a grace of {result['grace_seconds']:g} s. Versions: {versions}.\n\n",
        f"- Settings: {'; '.join(result['settings'])}.\n",
        *(f"- {text}\n" for text in result["trade_offs"]),
    ]
    if saw:
        parts.append(f"- Seen: {'; '.join(saw)}.\n")
    return "".join(parts)


def _title(result: Mapping[str, Any]) -> str:
    return f"{result['server']} {result['versions'][result['server']]}"


def _cell(case: Mapping[str, Any]) -> str:
    if case["alive"] is None:
        return case["verdict"]
    return f"{case['verdict']}, {case['alive']}"


def _passed(result: Mapping[str, Any]) -> int:
    return sum(case["verdict"] == "pass" for case in result["cases"])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"
