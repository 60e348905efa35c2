"""Results for people, and for programs."""

from __future__ import annotations

from typing import Any, Sequence

from .suite import CROWD, Result, Verdict, count


def line(result: Result) -> str:
    """Returns a row: number, verdict, what was left alive, the claim, and what was seen."""
    alive = "-" if result.alive is None else str(result.alive)
    numbers = f"{result.case.number:>2}  {result.verdict.value:<11}  {alive:>5}"
    return f"{numbers}  {result.case.claim}: {result.saw}"


def heading() -> str:
    """Returns the lines above the rows."""
    return f" #  {'verdict':<11}  alive  claim: what was seen\n{'-' * 72}"


def summary(name: str, results: Sequence[Result]) -> str:
    """Returns the lines below the rows."""
    passed = count(results, Verdict.PASS)
    not_offered = count(results, Verdict.NOT_OFFERED)
    rest = f", {not_offered} not offered" if not_offered else ""
    return (
        f"{name} passes {passed} of {len(results)}{rest}.\n"
        f"alive: after the case, the session's newest token was refreshed {CROWD} times at once;\n"
        "so many of the distinct tokens answered still refreshed. 1 is a session, 0 is none, more\n"
        "are forks."
    )


def data(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Returns the results as JSON."""
    return [
        {
            "number": result.case.number,
            "claim": result.case.claim,
            "verdict": result.verdict.value,
            "saw": result.saw,
            "alive": result.alive,
        }
        for result in results
    ]
