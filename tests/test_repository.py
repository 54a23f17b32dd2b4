"""The repository speaks of the project only, and says exactly what it installs."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.+!]+)")
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work|root|home/\w+)/\w")
REGISTRY_ADDRESS = re.compile(
    r"(?:index|registry)[-_]url|find[-_]links|https?://\S+/simple\b|\"resolved\":", re.IGNORECASE
)


def repository_texts() -> dict[str, str]:
    """Every text file that is tracked or would be."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listing.stdout.splitlines()]
    contents = {str(file.relative_to(ROOT)): file.read_bytes() for file in files if file.is_file()}
    return {name: data.decode() for name, data in contents.items() if b"\0" not in data and not name.endswith(".zst")}


def pins() -> dict[str, str]:
    """Canonical name to pinned version."""
    lines = (ROOT / "constraints.txt").read_text().split()
    matches = [PIN.fullmatch(line) for line in lines]
    return {canonicalize_name(match["name"]): match["version"] for match in matches if match}


def project() -> dict[str, Any]:
    """The project file."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_no_file_names_a_path_of_one_machine() -> None:
    """What holds on one machine only has no place here."""
    assert [name for name, text in repository_texts().items() if MACHINE_PATH.search(text)] == []


def test_no_file_names_a_package_registry() -> None:
    """Where packages come from is each machine's own setting."""
    assert [name for name, text in repository_texts().items() if REGISTRY_ADDRESS.search(text)] == []


def test_constraints_are_plain_pins() -> None:
    """One ``name==version`` a line: no addresses, hashes, options or markers."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not PIN.fullmatch(line)] == []


def test_every_requirement_is_pinned_to_a_version_it_allows() -> None:
    """Runtime dependencies, extras, dependency groups and the build backend are all in the constraints."""
    file = project()
    groups = [line for group in file["dependency-groups"].values() for line in group if isinstance(line, str)]
    groups += [line for extra in file["project"]["optional-dependencies"].values() for line in extra]
    wanted = [
        Requirement(line) for line in (*file["project"]["dependencies"], *file["build-system"]["requires"], *groups)
    ]
    pinned = pins()
    assert [str(r) for r in wanted if not r.specifier.contains(pinned.get(canonicalize_name(r.name), "0.dev0"))] == []


def test_the_licence_is_apache_2() -> None:
    """The licence file and the project file agree."""
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in licence
    assert "Copyright 2026 The Lithoscope authors" in licence
    assert project()["project"]["license"] == "Apache-2.0"
