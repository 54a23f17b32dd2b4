"""Collectors to look at: an empty one, a tiny one, and one with the shop's samples."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from collector.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Shop

SAMPLES = Path(__file__).parents[2] / "sample_traces"
ANYWHERE = [part for name in ("grpc", "http", "query") for part in (f"--{name}", "127.0.0.1:0")]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def served(folder: Path, *options: str) -> Iterator[dict[str, str]]:
    """A collector of its own process, by the addresses that it prints."""
    command = [sys.executable, "-m", "lithoscope", "serve", "--db", str(folder / "test.duckdb"), *ANYWHERE, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            expected = 4 if "--dashboard" in options else 3
            yield dict(process.stdout.readline().split() for _ in range(expected))
        finally:
            process.terminate()
            assert process.wait(60) == 0


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The query API of a collector that has stored nothing."""
    with served(tmp_path_factory.mktemp("empty")) as addresses:
        yield f"http://{addresses['query']}"


@pytest.fixture(scope="session")
def tiny(shop_file: Path, tmp_path_factory: pytest.TempPathFactory, shop: Shop) -> Iterator[str]:
    """The query API of a collector with two traces; one has a single span."""
    folder = tmp_path_factory.mktemp("tiny")
    shutil.copy(shop_file, folder / "test.duckdb")
    with served(folder) as addresses:
        url = f"http://{addresses['query']}"
        assert connect(url).trace(shop.first)["spans"]
        yield url


@pytest.fixture(scope="session")
def shop_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The addresses of a collector with the shop's three samples, and of its dashboard."""
    folder = tmp_path_factory.mktemp("samples")
    files = [str(file) for file in sorted(SAMPLES.glob("shop-*.otlp.zst"))]
    subprocess.run(
        [sys.executable, "-m", "lithoscope", "import", *files, "--db", str(folder / "test.duckdb")],
        check=True,
        capture_output=True,
    )
    with served(folder, "--dashboard", "127.0.0.1:0") as addresses:
        yield addresses


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium; installed from Debian's packages where that is possible, else the test is skipped."""
    found = _find_chromium()
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run(
            "apt-get update -qq && apt-get install -y -qq chromium", shell=True, capture_output=True, check=False
        )
        found = _find_chromium()
    if found is None:
        pytest.skip("there is no Chromium, and it cannot be installed here")
    return found


def _find_chromium() -> str | None:
    return next(filter(None, map(shutil.which, CHROMIUM)), None)
