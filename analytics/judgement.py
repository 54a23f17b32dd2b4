"""What traces are judged to be: how coupled they are, and what the rules find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analytics.coupling_index import coupling_index
from analytics.findings import Subject, describe_finding
from analytics.rules import find_all
from analytics.saturation import resource_use, service_saturation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from analytics.analysis import Analysed


@dataclass(frozen=True, slots=True)
class Judgement:
    """The contract's ``coupling_index`` and ``findings`` of one environment.

    ``based_on`` says which traces were looked at when those are fewer than the report is about: ``from``, ``to`` and
    the ``share`` of the traces in between; None for all.
    """

    index: dict[str, Any] | None = None
    findings: Sequence[dict[str, Any]] = field(default_factory=list)
    based_on: dict[str, Any] | None = None


def judge(analysed: Analysed, minutes: pl.DataFrame, limits: Mapping[str, Any] | None = None) -> Judgement:
    """Judge the traces of one environment; ``minutes`` are RESOURCE_MINUTES of the same."""
    use = resource_use(minutes)
    subject = Subject(analysed, use, service_saturation(use), minutes)
    return Judgement(
        coupling_index(subject).describe(), [describe_finding(finding) for finding in find_all(subject, limits)]
    )
