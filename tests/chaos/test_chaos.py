"""What was acknowledged is stored once, and nothing else: a few runs of what ``make chaos`` does 200 times."""

from __future__ import annotations

import random

import pytest

from tests.chaos.runs import run


@pytest.mark.parametrize("fault", ["log: torn write", "insert: position", "full disk"])
def test_chaos_changes_nothing(fault: str) -> None:
    """Whatever the seed: ``python -m tests.chaos --seed N --runs 1 --fault …`` repeats one."""
    outcome = run(random.randrange(2**32), fault)
    assert outcome.wrong == (), outcome
    assert outcome.acknowledged > 0
