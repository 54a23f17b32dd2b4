"""The recorded shop, loaded once for all tests of the analysis."""

from __future__ import annotations

import tomllib
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from analytics.analysis import Analysed, analyse
from analytics.sides import ALL_TIME
from analytics.source import read_traces
from collector.cli.importing import run_import
from collector.store import open_store
from sample_traces.shop.record import recording, truth_file
from sample_traces.shop.system import STATES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from collector.store.protocol import Store


@dataclass(frozen=True, slots=True)
class ShopSample:
    """One state of the shop: its recording in a store, the analysis of all of it, and what is true of it."""

    truth: dict[str, Any]
    store: Store
    analysed: Analysed


@pytest.fixture(scope="session")
def shop_samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, ShopSample]]:
    """Every state's sample by the state's name; the stores are read only."""
    folder = tmp_path_factory.mktemp("samples")
    with ExitStack() as stack:
        yield {name: _load(name, folder, stack) for name in STATES}


def _load(name: str, folder: Path, stack: ExitStack) -> ShopSample:
    db = folder / f"{name}.duckdb"
    run_import([recording(STATES[name])], url=None, db=db, to_now=False)
    store = stack.enter_context(closing(open_store(db, read_only=True)))
    truth = tomllib.loads(truth_file(STATES[name]).read_text())
    return ShopSample(truth, store, analyse(read_traces(store, ALL_TIME)))
