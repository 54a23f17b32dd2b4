"""docs/query-api.md names the columns of every list of rows, in their order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analytics import saturation_series as saturation
from analytics import series
from analytics.service_schema import SATURATION

PAGE = " ".join((Path(__file__).parents[2] / "docs" / "query-api.md").read_text().split())
ROWS = {
    "Rows of services and systems: ": series.SERVICE_SERIES,
    "Rows of endpoints: ": series.ENDPOINT_SERIES,
    "Rows of edges: ": series.EDGE_SERIES,
    "- `services`, the fullest first: ": [name for name in SATURATION if name != "environment"],
    "- `resources`, by time: ": saturation.RESOURCE_SERIES,
    "- `load`, by time, all instances together: ": saturation.LOAD_SERIES,
    "- `gaps`, by time, of sync edges between services: ": saturation.GAP_SERIES,
    "- `queueing`, one an edge: ": saturation.QUEUES,
    "- `instances`, by minute: ": saturation.INSTANCE_SERIES,
    "- `hot_instances`, one an instance of services that have several: ": saturation.HOT_ROWS,
}


@pytest.mark.parametrize("begin", ROWS)
def test_columns_are_documented(begin: str) -> None:
    """All, and no others."""
    told = PAGE.split(begin)[1]
    told = re.split(r"(?<=`)\.|(?<=\))\.|\. (?=Rows| |-)| - `", told)[0]
    names = re.findall(r"`([^`]+)`", re.sub(r"\([^)]*\)", "", told))
    assert names == list(ROWS[begin])


def test_laws_are_documented() -> None:
    """All columns; the law is written down between them."""
    told = PAGE.split("- `laws`, one a service: ")[1].split("A figure is null")[0]
    names = re.findall(r"`([^`]+)`", told)
    assert set(names) == set(saturation.LAWS)
    assert [name for name in names if name in saturation.LAWS][:9] == list(saturation.LAWS)[:9]
