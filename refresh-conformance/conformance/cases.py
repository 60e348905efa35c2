"""The fifteen cases. Each says what it saw, or fails with what it saw.

Words: a token that has a successor is superseded; for its grace it may still be answered; presented later it
was stolen from somebody, and that is what a server can detect.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Callable, Mapping

from .server import Tokens, at_once
from .trial import Trial, claim

# A race is run this often: each has its own winner.
RACES = 10

# Number of rounds in which many clients present one token at once.
CROWDS = 3

# So often do two tabs refresh in turn.
TURNS = 10


@dataclass(frozen=True)
class Case:
    """A claim about a server, and how to find out whether it holds."""

    number: int
    claim: str
    run: Callable[[Trial], str]
    # The routes that the case needs.
    needs: frozenset


def gives_a_new_token(trial: Trial) -> str:
    new = trial.rotate(trial.login())
    if trial.checks:
        claim(trial.server.check(new), "the new access token was refused")
    trial.rotate(new)
    return "a new refresh token each time, and it works"


def one_successor_for_a_crowd(trial: Trial) -> str:
    lived = []
    successors = []
    for _ in range(CROWDS):
        shown = trial.login()
        crowd = trial.at_once(shown)
        distinct = crowd.distinct()
        refreshed = [tokens.refresh for tokens in distinct]
        claim(shown.refresh not in refreshed, "a refresh token was its own successor")
        alive = trial.alive(crowd)
        if alive:
            trial.newest = alive[-1]
        successors.append(len(distinct))
        lived.append(len(alive))
    saw = f"left alive {_each(lived)} of {_each(successors)} successors"
    claim(lived == [1] * CROWDS, saw)
    return saw


def lost_answer_is_recovered(trial: Trial) -> str:
    shown = trial.login()
    with trial.inside_grace():
        # The answer is read so that it can be compared; to the client it is lost.
        lost = trial.rotate(shown)
        retried = trial.refresh(shown, "the retry")
    same = retried.refresh == lost.refresh
    claim(same, "the retry was answered another successor than the one that was lost")
    trial.rotate(retried)
    return "the retry was answered what was lost, and that refreshes"


def retry_after_a_further_rotation(trial: Trial) -> str:
    oldest = trial.login()
    with trial.inside_grace():
        newest = trial.rotate(trial.rotate(oldest))
        retried = trial.refresh(oldest, "the retry")
    claim(retried.refresh == newest.refresh, "the retry was answered a successor of its own")
    return "the grandparent was answered the newest token"


def two_tabs_in_turn(trial: Trial) -> str:
    one = other = trial.login()
    for _ in range(TURNS):
        with trial.inside_grace():
            one = trial.refresh(one, "the first tab")
            other = trial.refresh(other, "the second tab")
    if trial.checks:
        both = trial.server.check(one) and trial.server.check(other)
        claim(both, "an access token of a tab was refused")
    return f"both refreshed {TURNS} times"


def old_token_is_refused_after_grace(trial: Trial) -> str:
    old, newest = _superseded(trial)
    trial.refused(old, "a token past its grace")
    trial.newest = newest
    return "refused"


def its_session_is_dead(trial: Trial) -> str:
    old, newest = _superseded(trial)
    trial.refused(old, "a token past its grace")
    trial.refused(newest, "the newest refresh token")
    return "its newest refresh token was refused as well"


def its_access_tokens_are_dead(trial: Trial) -> str:
    old, newest = _superseded(trial)
    claim(trial.server.check(newest), "the access token had died before")
    trial.refused(old, "a token past its grace")
    claim(not trial.server.check(newest), "the newest access token was let in")
    claim(not trial.server.check(old), "the first access token was let in")
    return "its access tokens were refused at once"


def another_session_lives_on(trial: Trial) -> str:
    laptop = trial.server.login()
    old, _ = _superseded(trial)
    trial.refused(old, "a token past its grace")
    trial.newest = laptop
    if trial.checks:
        claim(trial.server.check(laptop), "the other session's access token was refused")
    trial.refresh(laptop)
    return "the other session of the user refreshed"


def thief_one_generation_behind(trial: Trial) -> str:
    owner = parent = trial.login()
    for _ in range(3):
        parent, owner = owner, trial.refresh(owner)
    trial.pass_grace()
    trial.refused(parent, "the parent of the newest token, past its grace,")
    trial.refused(owner, "the newest refresh token")
    return "refused, and the session ended"


def chain_of_the_thief_dies(trial: Trial) -> str:
    stolen = trial.login()
    first = trial.refresh(stolen)
    trial.pass_grace()
    second = trial.refresh(first)
    trial.refused(stolen, "the owner's token, past its grace,")
    _stay_refused(trial, {"the thief's first token": first, "the thief's newest token": second})
    return "all of the thief's tokens were refused, and stayed so"


def race_with_a_logout(trial: Trial) -> str:
    survivors = []
    refused = 0
    for _ in range(RACES):
        session = trial.login()
        refreshed, logged_out = at_once(
            [partial(trial.server.refresh, session), partial(trial.server.logout, session)]
        )
        refused += not logged_out
        again = trial.server.refresh(refreshed or session)
        survivors += [again] if again else []
    saw = f"{len(survivors)} of {RACES} outlived the logout"
    if refused:
        saw += f", which was refused {refused} times"
    if survivors:
        trial.newest = survivors[-1]
    claim(not survivors, saw)
    return saw


def logged_out_token_stays_dead(trial: Trial) -> str:
    first, second = _logged_out(trial)
    _stay_refused(trial, {"the newest refresh token": second, "the refresh token before it": first})
    return "refused, and stayed so"


def access_token_dies_with_the_logout(trial: Trial) -> str:
    first, second = _logged_out(trial)
    claim(not trial.server.check(second), "the newest access token was let in")
    claim(not trial.server.check(first), "the access token from before the last refresh was let in")
    return "refused, the one from before the last refresh too"


def access_token_outlives_a_refresh(trial: Trial) -> str:
    before = trial.login()
    claim(trial.server.check(before), "the access token of the login was refused")
    trial.refresh(before)
    claim(trial.server.check(before), "the access token from before the refresh was refused")
    return "let in after the refresh"


def _superseded(trial: Trial) -> tuple[Tokens, Tokens]:
    """A token two generations old and past its grace, and the newest of its session."""
    old = trial.login()
    newest = trial.refresh(trial.refresh(old))
    trial.pass_grace()
    return old, newest


def _logged_out(trial: Trial) -> tuple[Tokens, Tokens]:
    """Two generations of a session that has been logged out by the newer one."""
    first = trial.login()
    second = trial.refresh(first)
    if trial.checks:
        claim(trial.server.check(second), "the access token had died before")
    claim(trial.server.logout(second), "the logout was refused")
    return first, second


def _stay_refused(trial: Trial, tokens: Mapping[str, Tokens]) -> None:
    """Presents tokens that must be refused, now and when a grace counted from now is over."""
    for name, shown in tokens.items():
        trial.refused(shown, name)
    trial.pass_grace()
    for name, shown in tokens.items():
        trial.refused(shown, f"{name}, a grace later,")


def _each(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))


def _cases(*rows: tuple) -> list[Case]:
    return [
        Case(number, text, run, frozenset(needs))
        for number, (text, run, needs) in enumerate(rows, 1)
    ]


CASES = _cases(
    ("a refresh gives a new refresh token, and it works", gives_a_new_token, []),
    ("fifty parallel refreshes of one token leave one live successor", one_successor_for_a_crowd, []),
    ("a lost response is recovered by the retry, with the same successor", lost_answer_is_recovered, []),
    ("a retry after a further rotation gets the newest token", retry_after_a_further_rotation, []),
    ("two tabs that refresh in turn stay logged in", two_tabs_in_turn, []),
    ("after grace a superseded token is refused", old_token_is_refused_after_grace, []),
    ("its session is dead then, the newest refresh token too", its_session_is_dead, []),
    ("the access tokens of that session are dead at once", its_access_tokens_are_dead, ["check"]),
    ("another session of the same user lives on", another_session_lives_on, []),
    ("a thief who stays one generation behind is caught", thief_one_generation_behind, []),
    ("the chain of a thief who rotated first dies on detection", chain_of_the_thief_dies, []),
    ("a refresh that races a logout does not survive it", race_with_a_logout, ["logout"]),
    ("a logged-out refresh token stays dead", logged_out_token_stays_dead, ["logout"]),
    ("the access token dies with the logout", access_token_dies_with_the_logout, ["check", "logout"]),
    ("the access token from before a refresh lives on", access_token_outlives_a_refresh, ["check"]),
)
