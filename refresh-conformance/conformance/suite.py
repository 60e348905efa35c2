"""Runs cases and says of each what became of it, and what a crowd left alive of its session."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Iterator, Optional, Sequence

from .cases import Case
from .server import Broken, Server
from .trial import Clock, Failed, TooSlow, Trial

# Number of refreshes sent at once.
CROWD = 50

# A case that was too slow for the server's grace is repeated this often.
ATTEMPTS = 10


class Verdict(Enum):
    """Verdict on a case."""

    PASS = "pass"
    FAIL = "fail"
    NOT_OFFERED = "not offered"


@dataclass(frozen=True)
class Result:
    """Verdict on a case, and the observation behind it."""

    case: Case
    verdict: Verdict
    saw: str
    # Distinct tokens that still refreshed after a crowd showed the newest one of the session; `None`
    # where the case was not run.
    alive: Optional[int]


def run(server: Server, cases: Sequence[Case], clock: Clock, crowd: int = CROWD) -> Iterator[Result]:
    """Runs the cases one after the other, since on some servers a session can end others."""
    offered = {name for name in ("check", "logout") if getattr(server.adapter, name) is not None}
    for case in cases:
        missing = sorted(case.needs - offered)
        if missing:
            yield Result(case, Verdict.NOT_OFFERED, f"no {' and no '.join(missing)}", None)
        else:
            yield _patiently(server, case, clock, crowd)


def _patiently(server: Server, case: Case, clock: Clock, crowd: int) -> Result:
    for _ in range(ATTEMPTS):
        try:
            return _once(case, Trial(server, clock, crowd))
        except TooSlow as slow:
            saw = f"slower than the grace of {server.adapter.grace:g} s, {ATTEMPTS} times: {slow}"
    return Result(case, Verdict.FAIL, saw, None)


def _once(case: Case, trial: Trial) -> Result:
    try:
        verdict, saw = Verdict.PASS, case.run(trial)
    except Failed as failed:
        verdict, saw = Verdict.FAIL, str(failed)
    except Broken as broken:
        verdict, saw = Verdict.FAIL, f"the server {broken}"
    try:
        alive = _left_alive(trial)
    except Broken as broken:
        return Result(case, Verdict.FAIL, f"{saw}; then the server {broken}", None)
    return Result(case, verdict, saw, alive)


def _left_alive(trial: Trial) -> Optional[int]:
    if trial.newest is None:
        return None
    return len(trial.alive(trial.at_once(trial.newest)))


def count(results: Sequence[Result], verdict: Verdict) -> int:
    """Returns how many results are of one kind."""
    return Counter(result.verdict for result in results)[verdict]
