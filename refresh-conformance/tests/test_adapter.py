"""Adapters that say what cannot be meant are refused, and those shipped are read."""

import json
import re
import unittest
from copy import deepcopy
from pathlib import Path

from conformance import adapter

from .stand_in import ADAPTER

ROOT = Path(__file__).resolve().parent.parent


def changed(path, value):
    """The stand-in's adapter with one member changed."""
    text = deepcopy(ADAPTER)
    *parents, last = path.split(".")
    table = text
    for name in parents:
        table = table[name]
    table[last] = value
    return text


class Adapters(unittest.TestCase):
    def test_those_shipped_are_read(self):
        files = sorted((ROOT / "adapters").glob("*.json"))

        self.assertGreaterEqual(len(files), 3)
        for file in files:
            with self.subTest(file=file.name):
                self.assertTrue(adapter.load(str(file)).name)

    def test_the_example_of_the_readme_is_read(self):
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        [example] = re.findall(r"```json\n(.*?)```", readme, re.DOTALL)

        described = adapter.parse(json.loads(example))

        self.assertEqual(described.answer["csrf"], adapter.Place("cookie", "csrf"))

    def test_what_cannot_be_meant_is_refused(self):
        for path, value, reason in [
            ("login", None, "`login` is a table"),
            ("chekc", {}, r"has \['chekc'\]"),
            ("name", "", "`name` is a text"),
            ("grace_seconds", -1, "from 0 to 3600"),
            ("grace_seconds", True, "from 0 to 3600"),
            ("grace_seconds", "10", "from 0 to 3600"),
            ("answer", {"access": "json a"}, "where `refresh` is found"),
            ("answer.access", "body a", "not in `body a`"),
            ("answer.access", "json", "not in `json`"),
            ("refresh.path", "refresh", "begins with a slash"),
            ("refresh.headers", {"X": 1}, "a table of texts"),
            ("login.json", {}, "has two bodies"),
            ("refresh.cookies", {"rt": "{refersh}"}, r"`refresh` uses \['refersh'\]"),
            ("check", {}, r"`check` lacks \['method', 'path'\]"),
        ]:
            with self.subTest(path=path, value=value):
                with self.assertRaisesRegex(adapter.AdapterError, reason):
                    adapter.parse(changed(path, value))

    def test_one_that_is_no_json_is_refused(self):
        with self.assertRaisesRegex(adapter.AdapterError, "cannot read"):
            adapter.load(__file__)


if __name__ == "__main__":
    unittest.main()
