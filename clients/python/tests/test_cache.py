"""The cache of positive answers, and questions that requests share."""
from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import Clock, Gate, Server, Session, until

from latchet import Latchet, Refused


def test_an_answer_counts_for_a_second_from_its_question(gate: Gate, alice: Session) -> None:
    clock = Clock()
    checker = Latchet(gate.url, clock=clock)

    for advance, questions in ((0, 1), (0.99, 1), (0.02, 2), (0.99, 2)):
        clock.advance(advance)
        assert checker.check(alice.bearer)
        assert gate.count == questions


def test_the_cache_never_outlives_a_logout_by_more_than_a_second(gate: Gate, alice: Session) -> None:
    clock = Clock()
    checker = Latchet(gate.url, clock=clock)
    assert checker.check(alice.bearer)

    alice.logout()

    clock.advance(0.99)
    assert checker.check(alice.bearer), "documented: the answer of the last second counts"
    clock.advance(0.01)
    with pytest.raises(Refused) as refused:
        checker.check(alice.bearer)
    assert refused.value.code == "token_revoked"


def test_an_answer_that_was_long_on_its_way_counts_for_less(gate: Gate, alice: Session) -> None:
    clock = Clock()
    checker = Latchet(gate.url, clock=clock)
    gate.hold()

    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(checker.check, alice.bearer)
        until("the question", lambda: gate.count)
        clock.advance(0.9)
        gate.opened.set()
        assert answer.result()

    assert checker.check(alice.bearer) and gate.count == 1
    clock.advance(0.1)
    assert checker.check(alice.bearer) and gate.count == 2


def test_an_answer_does_not_count_beyond_the_expiry_of_its_token(gate: Gate, alice: Session) -> None:
    clock = Clock()
    checker = Latchet(gate.url, clock=clock)
    user = checker.check(alice.bearer)
    assert user is not None

    clock.wall = user.claims["exp"] - 0.5
    assert checker.check(alice.bearer) and gate.count == 2
    clock.advance(0.4)
    assert checker.check(alice.bearer) and gate.count == 2
    clock.advance(0.2)
    assert checker.check(alice.bearer) and gate.count == 3


@pytest.mark.parametrize(("monotonic", "wall"), [(0.1, -5.0), (0.1, 5.0), (1.0, 0.0), (1.0, 0.1)])
def test_a_clock_step_or_a_suspended_machine_ends_the_answer(
    gate: Gate, alice: Session, monotonic: float, wall: float
) -> None:
    clock = Clock()
    checker = Latchet(gate.url, clock=clock)
    assert checker.check(alice.bearer)

    clock.monotonic += monotonic
    clock.wall += wall

    assert checker.check(alice.bearer) and gate.count == 2


def test_refusals_are_not_cached(gate: Gate, server: Server) -> None:
    checker = Latchet(gate.url, clock=Clock())

    for questions in (1, 2):
        with pytest.raises(Refused):
            checker.check(["Bearer a.b.c"])
        assert gate.count == questions


def test_the_cache_can_be_turned_off_but_not_extended(gate: Gate, alice: Session) -> None:
    checker = Latchet(gate.url, cache_seconds=0, clock=Clock())

    assert checker.check(alice.bearer) and checker.check(alice.bearer)

    assert gate.count == 2
    for seconds in (1.001, -0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError):
            Latchet(gate.url, cache_seconds=seconds)


def test_the_cache_has_a_limit_and_drops_the_oldest(gate: Gate, server: Server) -> None:
    checker = Latchet(gate.url, max_entries=2, clock=Clock())
    first, second, third = (server.login("alice") for _ in range(3))
    for session in (first, second, third):
        assert checker.check(session.bearer)
    assert gate.count == 3

    assert checker.check(third.bearer) and checker.check(second.bearer)
    assert gate.count == 3
    assert checker.check(first.bearer)
    assert gate.count == 4


def test_the_cache_belongs_to_one_token(gate: Gate, server: Server, alice: Session, root: Session) -> None:
    checker = Latchet(gate.url, clock=Clock())

    users = [checker.check(session.bearer) for session in (alice, root, alice, root)]

    assert [user and user.username for user in users] == ["alice", "root", "alice", "root"]


def test_simultaneous_checks_in_threads_share_a_question(gate: Gate, alice: Session) -> None:
    checker = Latchet(gate.url, clock=Clock(), timeout=30)
    started = threading.Barrier(21)
    gate.hold()

    def check() -> str:
        started.wait()
        user = checker.check(alice.bearer)
        return user.username if user else ""

    with ThreadPoolExecutor(20) as threads:
        answers = [threads.submit(check) for _ in range(20)]
        started.wait()
        until("the question", lambda: gate.count)
        gate.opened.set()
        assert {answer.result() for answer in answers} == {"alice"}

    assert gate.count == 1


def test_simultaneous_checks_in_asyncio_share_a_question(gate: Gate, alice: Session) -> None:
    checker = Latchet(gate.url, cache_seconds=1, clock=Clock(), timeout=30)
    gate.hold()

    async def check_all() -> set[str]:
        answers = [asyncio.ensure_future(checker.check_async(alice.bearer)) for _ in range(50)]
        # All of them have asked when the loop comes back here.
        await asyncio.sleep(0)
        gate.opened.set()
        return {user.username for user in await asyncio.gather(*answers) if user}

    assert asyncio.run(check_all()) == {"alice"}
    assert gate.count == 1


def test_threads_and_asyncio_share_a_question(gate: Gate, alice: Session) -> None:
    checker = Latchet(gate.url, clock=Clock(), timeout=30)
    gate.hold()

    async def check_beside_a_thread() -> None:
        in_thread = asyncio.ensure_future(asyncio.to_thread(checker.check, alice.bearer))
        await asyncio.to_thread(until, "the question", lambda: gate.count)
        beside = asyncio.ensure_future(checker.check_async(alice.bearer))
        await asyncio.sleep(0)
        gate.opened.set()
        assert await in_thread and await beside

    asyncio.run(check_beside_a_thread())
    assert gate.count == 1


@pytest.mark.parametrize(("cache_seconds", "advance"), [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)])
def test_a_request_shares_no_question_that_may_be_older_than_a_logout(
    gate: Gate, alice: Session, cache_seconds: float, advance: float
) -> None:
    clock = Clock()
    checker = Latchet(gate.url, cache_seconds=cache_seconds, clock=clock, timeout=30)
    gate.hold()

    with ThreadPoolExecutor(2) as threads:
        before = threads.submit(checker.check, alice.bearer)
        until("the question before the logout", lambda: gate.count == 1)
        alice.logout()
        clock.advance(advance)
        after = threads.submit(checker.check, alice.bearer)
        until("the question after the logout", lambda: gate.count == 2)
        gate.opened.set()

        assert before.result(), "it was asked before the logout"
        refused = after.exception()
    assert isinstance(refused, Refused) and refused.code == "token_revoked"


def test_a_request_that_is_cancelled_leaves_the_question_to_the_others(gate: Gate, alice: Session) -> None:
    checker = Latchet(gate.url, clock=Clock(), timeout=30)
    gate.hold()

    async def cancel_the_first() -> None:
        first = asyncio.ensure_future(checker.check_async(alice.bearer))
        second = asyncio.ensure_future(checker.check_async(alice.bearer))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        gate.opened.set()
        assert await second
        assert first.cancelled()

    asyncio.run(cancel_the_first())
    assert gate.count == 1
