"""Components of the program: crates, with the C sources that some of them contain, and embedded files."""

import json
import re
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, order=True)
class Crate:
    """A crate whose code is in the program: neither a macro nor a build script."""

    name: str
    version: str
    licence: str = field(compare=False)
    repository: str = field(compare=False)
    authors: tuple[str, ...] = field(compare=False)
    folder: Path = field(compare=False)
    checksum: str | None = field(compare=False)
    dependencies: tuple[tuple[str, str], ...] = field(compare=False)


@dataclass(frozen=True)
class Embedded:
    """Files of an npm package that the program contains."""

    name: str
    version: str
    licence: str
    repository: str
    folder: Path


def _run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def crates(host: str) -> list[Crate]:
    """Returns the crates of the program for `host`, sorted, with Latchet's own.

    `cargo tree` knows which crates a build of the program selects; `cargo metadata` would add those of tests.
    """
    tree = _run(
        "cargo", "tree", "--locked", "--package", "latchet", "--edges", "normal,no-proc-macro",
        "--target", host, "--prefix", "none", "--no-dedupe", "--format", "{p}",
    )  # fmt: skip
    selected = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    selected = {(name, version.removeprefix("v")) for name, version in selected}
    metadata = json.loads(
        _run("cargo", "metadata", "--locked", "--format-version=1", "--filter-platform", host)
    )
    packages = {package["id"]: package for package in metadata["packages"]}
    names = {id: (package["name"], package["version"]) for id, package in packages.items()}
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
    found = []
    for node in metadata["resolve"]["nodes"]:
        name = names[node["id"]]
        if name not in selected:
            continue
        used = {
            names[dependency["pkg"]]
            for dependency in node["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
        }
        package = packages[node["id"]]
        found.append(
            Crate(
                *name,
                licence=(package["license"] or "see its licence file").replace("/", " OR "),
                repository=package["repository"] or "",
                authors=tuple(package["authors"]),
                folder=Path(package["manifest_path"]).parent,
                checksum=checksums[name],
                dependencies=tuple(sorted(used & selected)),
            )
        )
    missing = selected - {(crate.name, crate.version) for crate in found}
    if missing:
        raise SystemExit(f"cargo metadata does not know {sorted(missing)}")
    return sorted(found)


def embedded() -> list[Embedded]:
    """Returns the works of others below src/web/vendor."""
    works = []
    for folder in sorted((ROOT / "src/web/vendor").iterdir()):
        match = re.fullmatch(r"swagger-ui-([\d.]+)", folder.name)
        if not match:
            raise SystemExit(f"{folder} is unknown: describe it in {__file__}")
        repository = "https://github.com/swagger-api/swagger-ui"
        works.append(Embedded("swagger-ui-dist", match[1], "Apache-2.0", repository, folder))
    return works
