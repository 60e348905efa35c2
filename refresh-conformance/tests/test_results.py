"""The README says what was recorded, and the records are of what is shipped."""

import json
import unittest
from pathlib import Path

from conformance import record, table
from conformance.cases import CASES

ROOT = Path(__file__).resolve().parent.parent


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


class Results(unittest.TestCase):
    def test_the_table_is_made_from_the_records(self):
        readme = (ROOT / "README.md").read_text(encoding="utf-8")

        self.assertEqual(readme, table.renewed(readme, table.recorded(ROOT)), "run `./record --table`")

    def test_each_server_is_recorded_as_it_would_be_started(self):
        servers = sorted(folder.name for folder in (ROOT / "servers").iterdir())
        self.assertEqual(servers, sorted(file.stem for file in (ROOT / "results").glob("*.json")))
        for name in servers:
            with self.subTest(server=name):
                folder = ROOT / "servers" / name
                result = read(ROOT / "results" / f"{name}.json")
                about = read(folder / "about.json")
                described = read(ROOT / "adapters" / about["adapter"])

                if name != "latchet":
                    # Ours moves on with each release, without being recorded again.
                    self.assertEqual(result["versions"], record.versions(folder))
                self.assertEqual(result["grace_seconds"], described["grace_seconds"])
                for said in ("server", "from", "settings"):
                    self.assertEqual(result[said], about[said])
                claims = [(case["number"], case["claim"]) for case in result["cases"]]
                self.assertEqual(claims, [(case.number, case.claim) for case in CASES])


if __name__ == "__main__":
    unittest.main()
