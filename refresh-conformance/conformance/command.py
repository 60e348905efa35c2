"""The command line of `run`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from typing import Sequence
from urllib.parse import urlsplit

from . import adapter, report, suite
from .cases import CASES
from .server import Server, Unusable
from .trial import Clock

EVERY_CASE_PASSED, A_CASE_DID_NOT_PASS, NOT_RUN = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """Runs the cases, prints a row for each, and returns 0 when all of them passed."""
    options = _options(arguments)
    try:
        described = adapter.load(options.adapter)
        if options.grace is not None:
            described = replace(described, grace=options.grace)
        server = Server(described, options.base, options.user, options.password)
        cases = [case for case in CASES if not options.case or case.number in options.case]
        results = []
        if not options.json:
            print(report.heading(), flush=True)
        for result in suite.run(server, cases, Clock()):
            results.append(result)
            if not options.json:
                print(report.line(result), flush=True)
    except (adapter.AdapterError, Unusable) as error:
        print(f"refresh-conformance: {error}", file=sys.stderr)
        return NOT_RUN
    if options.json:
        print(json.dumps(report.data(results), indent=2))
    else:
        print(report.summary(described.name, results))
    passed = suite.count(results, suite.Verdict.PASS)
    return EVERY_CASE_PASSED if passed == len(results) else A_CASE_DID_NOT_PASS


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="refresh-conformance/run",
        description="Runs fifteen cases of refresh token rotation against an auth server. "
        "It logs in some thirty times and lets sessions end, so give it an account of its own.",
        epilog="Ends with 0 when all cases passed, 1 when one did not or is not offered, "
        "2 when the server cannot be judged.",
    )
    parser.add_argument("--adapter", required=True, metavar="FILE", help="how the server is spoken to")
    parser.add_argument("--base", required=True, type=_base, metavar="URL", help="where the server is")
    parser.add_argument("--user", required=True, metavar="NAME", help="the account to log in with")
    parser.add_argument("--password", required=True, help="its password")
    numbers = range(1, len(CASES) + 1)
    parser.add_argument(
        "--case",
        type=int,
        choices=numbers,
        action="append",
        metavar="N",
        help="only this case; may be repeated",
    )
    parser.add_argument(
        "--grace",
        type=_grace,
        metavar="SECONDS",
        help="grace of this server, where it is not the adapter's",
    )
    parser.add_argument("--json", action="store_true", help="print JSON at the end instead of a table")
    return parser.parse_args(arguments)


def _grace(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= adapter.LONGEST_GRACE:
        raise argparse.ArgumentTypeError(f"not a number from 0 to {adapter.LONGEST_GRACE}")
    return seconds


def _base(text: str) -> str:
    try:
        address = urlsplit(text)
        # Reading the port is what checks it.
        fits = address.scheme in ("http", "https") and address.hostname and (address.port or True)
    except ValueError:
        fits = False
    if not fits:
        raise argparse.ArgumentTypeError("not a URL such as http://127.0.0.1:8080")
    return text
