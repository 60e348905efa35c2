"""One case at work: its tokens, its time, and what it may claim."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import Iterator, Optional

from .server import Crowd, Server, Tokens

# Seconds beyond grace until a token is surely past it: some servers count whole seconds.
MARGIN = 1.0


class Failed(Exception):
    """The claim does not hold; the text says what was seen."""


class TooSlow(Exception):
    """Steps that have to end within grace took longer, so the case is undecided."""


class Clock:
    """The real clock. Tests of the suite have one that they advance."""

    def now(self) -> float:
        """Returns seconds since some moment."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Lets time pass."""
        time.sleep(seconds)


class Trial:
    """Server, clock and tokens of a case. `newest` is the newest token of the session that the case is about."""

    def __init__(self, server: Server, clock: Clock, crowd: int) -> None:
        self.server = server
        self.crowd = crowd
        self.newest: Optional[Tokens] = None
        self._clock = clock

    @property
    def grace(self) -> float:
        """Returns the grace of the server in seconds."""
        return self.server.adapter.grace

    @property
    def checks(self) -> bool:
        """Returns whether the server has a route that checks access tokens."""
        return self.server.adapter.check is not None

    def login(self) -> Tokens:
        """Logs in, and makes that the session that the case is about."""
        self.newest = self.server.login()
        return self.newest

    def refresh(self, tokens: Tokens, what: str = "a refresh token presented for the first time") -> Tokens:
        """Presents a refresh token that must be accepted; `what` names it."""
        answered = self.server.refresh(tokens)
        if answered is None:
            raise Failed(f"{what} was refused")
        self.newest = answered
        return answered

    def rotate(self, tokens: Tokens) -> Tokens:
        """Presents a refresh token that must be answered with another one."""
        answered = self.refresh(tokens)
        claim(answered.refresh != tokens.refresh, "the answer had no new refresh token")
        return answered

    def refused(self, tokens: Tokens, what: str) -> None:
        """Presents a refresh token that must be refused; `what` names it."""
        answered = self.server.refresh(tokens)
        if answered is not None:
            self.newest = answered
            raise Failed(f"{what} was answered")

    def pass_grace(self) -> None:
        """Waits until every token superseded so far is past its grace."""
        self._clock.wait(self.grace + MARGIN)

    @contextmanager
    def inside_grace(self) -> Iterator[None]:
        """Marks steps that must take less than grace together; a failure of slower ones says nothing."""
        start = self._clock.now()
        try:
            yield
        except Failed as failed:
            if 0 < self.grace <= self._clock.now() - start:
                raise TooSlow(str(failed)) from failed
            raise

    def at_once(self, tokens: Tokens) -> Crowd:
        """Presents a refresh token from many clients in one moment."""
        start = self._clock.now()
        crowd = self.server.refresh_at_once(tokens, self.crowd)
        # A session that is over refuses them all, however slowly.
        if crowd.answered and crowd.others and 0 < self.grace <= self._clock.now() - start:
            raise TooSlow(f"of {self.crowd} at once, {dict(crowd.others)}")
        return crowd

    def alive(self, crowd: Crowd) -> list[Tokens]:
        """Presents each distinct refresh token that the clients received; returns the responses."""
        refreshed = (self.server.refresh(tokens) for tokens in crowd.distinct())
        return [tokens for tokens in refreshed if tokens is not None]


def claim(holds: bool, otherwise: str) -> None:
    """Ends the case when what it claims does not hold."""
    if not holds:
        raise Failed(otherwise)
