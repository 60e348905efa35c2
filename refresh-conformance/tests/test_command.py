"""The command line: what it prints, and how it ends."""

import contextlib
import io
import json
import tempfile
import unittest

from conformance import command

from .stand_in import ADAPTER, Fault, HttpServer, StandIn, TestClock


def run(*arguments, fault=None, described=ADAPTER):
    """Runs the command against a stand-in; returns how it ended, and what it printed where."""
    printed, complained = io.StringIO(), io.StringIO()
    stand_in = StandIn(TestClock(), fault)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file, HttpServer(stand_in) as http:
        json.dump(described, file)
        file.flush()
        account = ["--user", "alice", "--password", "a secret of alice"]
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained):
            status = command.main(["--adapter", file.name, "--base", http.base, *account, *arguments])
    return status, printed.getvalue(), complained.getvalue()


class Command(unittest.TestCase):
    def test_cases_that_pass_end_with_0(self):
        status, printed, _ = run("--case", "1", "--case", "15")

        self.assertEqual(status, 0)
        self.assertIn(" 1  pass             1  a refresh gives a new refresh token", printed)
        self.assertIn("Stand-in passes 2 of 2.", printed)

    def test_a_case_that_fails_ends_with_1(self):
        status, printed, _ = run("--case", "4", fault=Fault.FORGIVES_THE_PARENT_ONLY)

        self.assertEqual(status, 1)
        self.assertIn("the retry was refused", printed)
        self.assertIn("passes 0 of 1.", printed)

    def test_a_case_that_is_not_offered_ends_with_1(self):
        status, printed, _ = run("--case", "15", described={**ADAPTER, "check": None})

        self.assertEqual(status, 1)
        self.assertIn("15  not offered      -", printed)
        self.assertIn("passes 0 of 1, 1 not offered.", printed)

    def test_a_server_that_cannot_be_judged_ends_with_2(self):
        elsewhere = {"method": "POST", "path": "/elsewhere"}
        for described, reason in [
            ({**ADAPTER, "login": elsewhere}, "the response to the login is 400"),
            ({**ADAPTER, "name": None}, "`name` is a text"),
        ]:
            with self.subTest(reason=reason):
                status, _, complained = run("--case", "1", described=described)

                self.assertEqual(status, 2)
                self.assertIn(reason, complained)

    def test_json_says_the_same(self):
        status, printed, _ = run("--case", "4", "--json", "--grace", "7", fault=Fault.FORKS)

        [seen] = json.loads(printed)
        self.assertEqual(status, 1)
        self.assertEqual((seen["number"], seen["verdict"], seen["alive"]), (4, "fail", 50))

    def test_nothing_secret_is_printed(self):
        _, printed, complained = run("--case", "1", "--case", "3", "--case", "4", fault=Fault.FORKS)

        self.assertNotIn("a secret of alice", printed + complained)

    def test_an_address_that_is_none_is_refused(self):
        for base in ["127.0.0.1:80", "ftp://host", "http://host:port"]:
            with self.subTest(base=base), contextlib.redirect_stderr(io.StringIO()):
                with self.assertRaises(SystemExit) as ended:
                    command.main(["--adapter", "a", "--base", base, "--user", "u", "--password", "p"])
                self.assertEqual(ended.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
