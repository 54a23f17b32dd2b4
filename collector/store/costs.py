"""What one call of a function that makes values longer may make of its arguments, in bytes, as SQL.

DuckDB's memory limit does not count a value while a function builds it, and the function cannot be interrupted: one
``repeat('x', 2000000000)`` took 4 GB and outlived its time limit by six seconds. ``collector.store.bounding`` compares
these costs with a limit before the call. In them ``size(i)`` and ``number(i)`` stand for the bytes of the i-th
argument's text and for its value. A function is missing here, and in ``free_functions.txt``, when it may not be used.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_TWO = 2


def _sum(count: int) -> str:
    return " + ".join(f"size({place})" for place in range(count)) or "0"


def _joined(count: int) -> str:
    return f"(1 + size(0)) * ({_sum(count)})"


def _times(factor: int) -> Callable[[int], str]:
    return lambda _: f"{factor} * size(0)"


def _replaced(count: int) -> str:
    return "size(0) + size(0) / greatest(size(1), 1) * size(2)" if count > _TWO else "0"


def _formatted(count: int) -> str:
    # A width of a thousand and more, and one that is an argument, make a value of any length.
    wide = r"regexp_matches(CAST(argument(0) AS VARCHAR), '[0-9]{4}|[*]|[{][^}]*[{]')"
    return f"CASE WHEN {wide} THEN 1e18 ELSE size(0) * ({_sum(count)}) END"


def _split(_: int) -> str:
    # An entry takes 16 bytes beside its text.
    parts = "strlen(replace(CAST(argument(0) AS VARCHAR), CAST(argument(1) AS VARCHAR), ''))"
    return f"size(0) + 16 * CASE WHEN size(1) = 0 THEN size(0) ELSE (size(0) - {parts}) / size(1) END"


def _series(count: int) -> str:
    begin, end = ("0", "number(0)") if count == 1 else ("number(0)", "number(1)")
    step = "number(2)" if count > _TWO else "1"
    return f"8 * abs(({end} - {begin}) / nullif({step}, 0))"


# Quadratic in time: an eighth makes a vector of the longest values take two seconds.
def _compared(_: int) -> str:
    return "size(0) * size(1) / 8"


def _selected(_: int) -> str:
    return "(1 + size(0)) * (1 + size(1))"


def _substituted(_: int) -> str:
    return "(1 + size(0)) * (1 + size(2))"


def _resized(count: int) -> str:
    return f"number(1) * (16 + {'size(2)' if count > _TWO else 0})"


def _padded(_: int) -> str:
    return "4 * number(1)"


_BY_COST: dict[Callable[[int], str], str] = {
    _sum: "|| concat list_concat list_cat array_concat array_cat list_value list_pack array_value list_append "
    "array_append list_prepend array_prepend array_push_back array_push_front row struct_pack struct_concat "
    "struct_insert struct_update json_array json_object json_merge_patch json_deep_merge json_set json_insert "
    "json_replace map map_concat array_to_string_comma_default list_zip array_zip overlay path_join",
    _compared: "levenshtein editdist3 damerau_levenshtein jaro_similarity jaro_winkler_similarity jaccard "
    "regexp_matches regexp_full_match regexp_extract",  # these also take longer with text and pattern
    _selected: "list_select array_select array_to_string",
    _substituted: "regexp_replace",
    _replaced: "replace",
    _formatted: "printf format",
    _padded: "lpad rpad",
    _resized: "list_resize array_resize",
    _series: "range generate_series",
    _split: "string_split str_split split string_to_array",
    _joined: "concat_ws",
    _times(16): "string_split_regex str_split_regex regexp_split_to_array regexp_extract_all",
    _times(8): "encode unhex from_hex from_base64 unbin from_binary bin to_binary",
    _times(3): "url_encode",
    _times(2): "hex to_hex base64 to_base64 regexp_escape to_json json_quote array_to_json row_to_json json "
    "map_from_entries",
    lambda _: "size(0) * number(1)": "repeat",
    lambda _: "size(0) + number(1)": "bitstring",
}


def cost_of(name: str, count: int) -> str:
    """Return the cost of a call with that many arguments; with too few, DuckDB itself will say so."""
    cost = COSTS[name](count)
    places = map(int, re.findall(r"(?:size|number|argument)\((\d+)\)", cost))
    return cost if max(places, default=0) < count else _sum(count)


COSTS = {name: cost for cost, names in _BY_COST.items() for name in names.split()}
"""By function, how the cost of a call is told from the number of its arguments."""


def _read_free() -> frozenset[str]:
    text = resources.files("collector.store").joinpath("free_functions.txt").read_text(encoding="utf-8")
    return frozenset(re.sub(r"#.*", "", text).split())


FREE = _read_free()
"""Functions whose values are about as long as their arguments, and take about as long as these are long."""
