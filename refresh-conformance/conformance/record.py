"""Records what is seen of published servers: `servers/NAME/start` starts each, and the cases are run.

A result is data (`results/NAME.json`), and the table of the README is made from the data alone.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Sequence

from . import adapter, report, suite, table
from .cases import CASES
from .server import Server, Unusable
from .trial import Clock

ROOT = Path(__file__).resolve().parent.parent

# Seconds for a server to be installed and to listen.
PATIENCE = 900.0

NAME = "conformance"


def main(arguments: Sequence[str]) -> int:
    """Records the servers named, or all of them, and renews the table of the README."""
    known = sorted(folder.name for folder in (ROOT / "servers").iterdir() if folder.is_dir())
    parser = argparse.ArgumentParser(prog="refresh-conformance/record", description=__doc__)
    names = f"of {', '.join(known)}; all by default"
    parser.add_argument("servers", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--table", action="store_true", help="only renew the table")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.servers) - set(known))
    if unknown:
        parser.error(f"there is no {', '.join(unknown)} in servers/")
    for name in [] if options.table else options.servers or known:
        try:
            _record(name)
        except (adapter.AdapterError, Unusable) as error:
            print(f"refresh-conformance: {name}: {error}", file=sys.stderr)
            return 2
    readme = ROOT / "README.md"
    text = table.renewed(readme.read_text(encoding="utf-8"), table.recorded(ROOT))
    readme.write_text(text, encoding="utf-8")
    return 0


def _record(name: str) -> None:
    folder = ROOT / "servers" / name
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    described = adapter.load(str(ROOT / "adapters" / about["adapter"]))
    results = []
    with _started(folder) as (base, password):
        print(f"{described.name}\n{report.heading()}", flush=True)
        for result in suite.run(Server(described, base, NAME, password), CASES, Clock()):
            results.append(result)
            print(report.line(result), flush=True)
    result = {
        "server": about["server"],
        "from": about["from"],
        "versions": versions(folder),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "grace_seconds": described.grace,
        "settings": about["settings"],
        "cases": report.data(results),
    }
    text = json.dumps(result, indent=2, ensure_ascii=False)
    (ROOT / "results" / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def versions(folder: Path) -> dict[str, str]:
    """Returns the versions that a server is installed in, the server's own first."""
    python, node = folder / "requirements.txt", folder / "package.json"
    if python.exists():
        pinned = dict(line.split("==") for line in python.read_text(encoding="utf-8").split())
    elif node.exists():
        pinned = json.loads(node.read_text(encoding="utf-8"))["dependencies"]
    else:
        manifest = (ROOT.parent / "Cargo.toml").read_text(encoding="utf-8")
        pinned = {"Latchet": re.search(r'^version = "(.+)"$', manifest, re.MULTILINE)[1]}
    own = json.loads((folder / "about.json").read_text(encoding="utf-8"))["server"]
    return {own: pinned[own], **pinned}


@contextmanager
def _started(folder: Path) -> Iterator[tuple[str, str]]:
    """Starts a server with an account of its own, and yields its address and the password."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    password = secrets.token_urlsafe(24)
    log = ROOT.parent / "target" / "refresh-conformance" / f"{folder.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        settings: dict[str, Any] = {"PORT": port, "NAME": NAME, "PASSWORD": password, "DATA": data}
        environment = {**os.environ, **{name: str(value) for name, value in settings.items()}}
        with log.open("wb") as said:
            # A group of its own: servers have workers.
            process = subprocess.Popen(
                [str(folder / "start")],
                env=environment,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        try:
            _wait_for(port, process, log)
            yield f"http://127.0.0.1:{port}", password
        finally:
            _end(process)


def _end(process: subprocess.Popen) -> None:
    # One that has ended by itself has no group any more.
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    process.wait()


def _wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Unusable(f"it did not start; see {log}")
