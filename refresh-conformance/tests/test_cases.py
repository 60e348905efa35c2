"""Each case passes on a server that keeps its promise, and fails on one that breaks it."""

import unittest
from copy import deepcopy

from conformance import adapter, suite
from conformance.cases import CASES
from conformance.server import Server, Unusable

from .stand_in import ADAPTER, Fault, HttpServer, StandIn, TestClock

# Which cases fail for which fault, and no others.
FAILS = {
    Fault.ROTATES_NOTHING: {1, 2, 3, 4, 6, 7, 8, 9, 10, 11},
    Fault.FORKS: {2, 3, 4},
    Fault.ENDS_THE_SESSION_ON_A_RETRY: {2, 3, 4, 5},
    Fault.REFUSES_A_RETRY: {3, 4, 5, 7, 8, 10, 11},
    Fault.FORGIVES_THE_PARENT_ONLY: {4},
    Fault.FORGIVES_FOREVER: {6, 7, 8, 9, 10, 11},
    Fault.FORGIVES_THE_PARENT_FOREVER: {10},
    Fault.DETECTS_NOTHING: {7, 8, 10, 11},
    Fault.BREAKS_WHERE_IT_DETECTS: {6, 7, 8, 9, 10, 11},
    Fault.SPARES_ACCESS_ON_DETECTION: {8},
    Fault.ENDS_EVERY_SESSION_ON_DETECTION: {9},
    Fault.COUNTS_GRACE_FROM_THE_DETECTION: {11},
    Fault.REVIVES_BY_A_RACING_REFRESH: {12, 13},
    Fault.FORGETS_A_LOGOUT_AFTER_GRACE: {13},
    Fault.SPARES_ACCESS_ON_LOGOUT: {14},
    Fault.DENIES_ONLY_THE_ACCESS_TOKEN_PRESENTED: {14},
    Fault.ENDS_ACCESS_ON_REFRESH: {15},
}

# Where the session of a case is over when it ends.
OVER = {6, 7, 8, 10, 11, 12, 13, 14}

# Enough for a fork to show.
CROWD = 6


def results(fault=None, described=ADAPTER):
    """Runs all cases against a stand-in with this fault."""
    clock = TestClock()
    with HttpServer(StandIn(clock, fault)) as http:
        server = Server(adapter.parse(described), http.base, "alice", "a secret of alice")
        return list(suite.run(server, CASES, clock, CROWD))


def failed(seen):
    return {result.case.number for result in seen if result.verdict is suite.Verdict.FAIL}


class Cases(unittest.TestCase):
    def test_a_server_that_keeps_its_promises_passes_all(self):
        seen = results()

        self.assertEqual([result.case.number for result in seen], list(range(1, 16)))
        saw = {result.case.number: result.saw for result in seen}
        self.assertEqual(failed(seen), set(), saw)
        self.assertEqual({result.case.number for result in seen if result.alive == 0}, OVER)
        self.assertEqual({result.alive for result in seen if result.case.number not in OVER}, {1})

    def test_each_fault_fails_its_cases_and_no_others(self):
        self.assertEqual(set(FAILS), set(Fault))
        for fault, expected in FAILS.items():
            with self.subTest(fault=fault.name):
                self.assertEqual(failed(results(fault)), expected)

    def test_each_case_can_fail(self):
        self.assertEqual(set().union(*FAILS.values()), {case.number for case in CASES})

    def test_a_fork_is_counted(self):
        crowd = results(Fault.FORKS)[0]

        self.assertEqual(crowd.alive, CROWD, "each showing inside grace made a token of its own")

    def test_a_case_whose_route_is_missing_is_not_offered(self):
        described = {**ADAPTER, "check": None, "logout": None}

        seen = results(described=described)

        missing = {result.case.number for result in seen if result.verdict is suite.Verdict.NOT_OFFERED}
        self.assertEqual(missing, {8, 12, 13, 14, 15})
        self.assertEqual(suite.count(seen, suite.Verdict.PASS), 10)
        self.assertTrue(all(result.alive is None for result in seen if result.case.number in missing))

    def test_what_took_longer_than_grace_is_tried_again_and_never_passes(self):
        class Slow(TestClock):
            """Every look at the clock finds it later than grace."""

            def now(self):
                self.wait(11.0)
                return super().now()

        clock = Slow()
        with HttpServer(StandIn(clock)) as http:
            server = Server(adapter.parse(ADAPTER), http.base, "alice", "a secret of alice")
            [seen] = suite.run(server, CASES[2:3], clock, CROWD)

        self.assertIs(seen.verdict, suite.Verdict.FAIL)
        self.assertIn("slower than the grace of 10 s", seen.saw)

    def test_a_wrong_password_and_a_wrong_path_judge_nothing(self):
        mistaken = deepcopy(ADAPTER)
        mistaken["refresh"]["path"] = "/elsewhere"
        mistaken["answer"]["refresh"] = "cookie other"

        with self.assertRaisesRegex(Unusable, "no `refresh` in cookie other"):
            results(described=mistaken)
        with HttpServer(StandIn(TestClock())) as http:
            server = Server(adapter.parse(ADAPTER), http.base, "alice", "wrong")
            with self.assertRaisesRegex(Unusable, "the response to the login is 401"):
                list(suite.run(server, CASES, TestClock(), CROWD))


if __name__ == "__main__":
    unittest.main()
