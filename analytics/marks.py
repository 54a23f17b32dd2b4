"""Marks: which spans of a forest failed, and which are named in a certain way; each distinct name is read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.schema import STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.arrays import Flags
    from analytics.forest import Forest

_ERROR = STATUSES.index("error")


def failed_spans(forest: Forest) -> Flags:
    """Mark the spans whose status is error."""
    failed: Flags = (forest.source["status"].to_physical().to_numpy() == _ERROR)[forest.source_row]
    return failed


def named_spans(forest: Forest, matches: Callable[[pl.Series], pl.Series], column: str = "span_name") -> Flags:
    """Mark the spans whose text in a column is wanted; ``matches`` tells of distinct texts which are."""
    texts = forest.source[column]
    distinct = texts.drop_nulls().unique()
    wanted = distinct.filter(matches(distinct.cast(pl.String)).fill_null(value=False))
    if wanted.is_empty():
        return np.zeros(len(forest), np.bool_)
    flags: Flags = texts.is_in(wanted.implode()).fill_null(value=False).to_numpy()[forest.source_row]
    return flags


def words_of(names: pl.Series) -> pl.Series:
    """Return names in lower case with single blanks between words, also where capitals or signs part them."""
    apart = names.str.replace_all(r"([a-z0-9])([A-Z])", "$1 $2").str.to_lowercase()
    return apart.str.replace_all(r"[^a-z0-9]+", " ").str.strip_chars()
