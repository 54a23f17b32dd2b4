"""What the tests import is the built and installed wheel, not the source tree beside them."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = ("analytics", "collector", "dashboard", "lithoscope", "sample_traces")
SITE_PACKAGES = sysconfig.get_path("purelib")

pytestmark = pytest.mark.skipif(
    os.environ.get("LITHOSCOPE_TEST_INSTALLED") != "1",
    reason="only `make test` installs the wheel; here the source tree is tested",
)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_package_comes_from_the_installed_wheel(name: str) -> None:
    """The test process imports from site-packages."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    places = spec.submodule_search_locations or [str(spec.origin)]
    assert [place for place in places if not place.startswith(SITE_PACKAGES)] == []


def test_a_process_that_a_test_starts_uses_the_installed_wheel_too() -> None:
    """The working directory is not on the import path of a child process."""
    program = "import collector; print(collector.__file__)"
    child = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert child.stdout.startswith(SITE_PACKAGES)


def test_the_wheel_holds_every_file_of_its_packages() -> None:
    """No SQL file, sample or marker is left behind."""
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *SHIPPED, "lithoscope.py"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    packaged = {str(file) for file in importlib.metadata.files("lithoscope") or []}
    present = {name for name in tracked.stdout.splitlines() if (ROOT / name).exists()}
    assert present - packaged == set()
