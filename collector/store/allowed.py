"""What a query may say: reads only, functions that are known, and nothing that makes DuckDB plan without end."""

from __future__ import annotations

import difflib
import math
import re
from typing import TYPE_CHECKING, Any

from collector.errors import QueryError
from collector.store.bounding import LAMBDAS
from collector.store.costs import COSTS, FREE
from collector.store.syntax import Node, arguments, is_constant, objects

if TYPE_CHECKING:
    from collections.abc import Callable

# Table functions by name, because a new one must not be allowed by forgetting it: in 1.5 and 2.0, enable_logging()
# writes files, checkpoint() writes the database, arrow_scan() reads any address and ends the process, and query()
# would hide all of them in a string.
TABLE_FUNCTIONS = frozenset(
    {
        "duckdb_columns",
        "duckdb_constraints",
        "duckdb_functions",
        "duckdb_indexes",
        "duckdb_keywords",
        "duckdb_memory",
        "duckdb_schemas",
        "duckdb_tables",
        "duckdb_types",
        "duckdb_views",
        "generate_series",
        "icu_calendar_names",
        "json_each",
        "json_tree",
        "pg_timezone_names",
        "pragma_database_size",
        "pragma_show",
        "pragma_table_info",
        "pragma_version",
        "range",
        "repeat",
        "repeat_row",
        "summary",
        "trace_spans",
        "unnest",
    }
)

# Over a frame that moves, others begin anew with each row, and are not interrupted meanwhile: histogram() over 200,000
# rows took 169 s.
_WINDOWED = (
    "any_value arbitrary arg_max arg_min argmax argmin avg bit_and bit_or bit_xor bool_and bool_or corr count count_if "
    "count_star countif covar_pop covar_samp cume_dist dense_rank fill first first_value fsum kahan_sum lag last "
    "last_value lead max max_by mean median min min_by nth_value ntile percent_rank product quantile quantile_cont "
    "quantile_disc rank rank_dense regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy "
    "regr_syy row_number sem stddev stddev_pop stddev_samp sum sumkahan var_pop var_samp variance"
)
WINDOWED = frozenset(_WINDOWED.split())

# Each star of a subquery multiplies the columns of the query around it: `SELECT *, *` in itself 20 times takes minutes
# of planning, which cannot be interrupted. Structs of structs do the same to types.
_MOST_STARS = 256
_MOST_FIELDS = 100_000
_STRUCTS = frozenset({"row", "struct_pack", "struct_insert", "struct_concat", "struct_update"})

# RE2 reads 20 KB a second when (a|b|ab|ba){500} does not match.
_MOST_REPEATED = 100
_REPEATED = re.compile(r"\{(\d*),?(\d*)\}")
_FORMATTED = {"strftime": (0, 1), "strptime": (1,), "try_strptime": (1,)}
_MOST_QUANTILES = 100


def not_a_read(message: str, sql: str, hint: str = "") -> QueryError:
    """Return the refusal of what is no read; ``hint`` is what to write instead, if that is known."""
    hint = hint or "Send one SELECT, EXPLAIN, DESCRIBE, SHOW or SUMMARIZE of the views."
    if re.search(r"\bpivot\b", sql, re.IGNORECASE):
        hint = "PIVOT needs its values named: PIVOT … ON column IN (…)."
    return QueryError(message, code="not_a_read", hint=hint)


def check_tree(tree: Node, sql: str) -> list[Node]:
    """Return the objects of the tree of a statement that a query may be; raise ``QueryError`` for any other."""
    found = list(objects(tree))
    streaming = {id(item["function"]) for item in found if item.get("type") == "TABLE_FUNCTION"}
    for item in found:
        if str(item.get("type")).endswith("_QUERY_NODE"):  # INSERT, UPDATE, DELETE in WITH, new in DuckDB 2.0
            raise not_a_read("A query may only read, and this WITH changes data.", sql)
        if id(item) in streaming:
            _check_table_function(str(item["function_name"]).lower(), sql)
        elif item.get("class") in _CHECKS:
            _CHECKS[item["class"]](item, sql)
    _check_plan(found)
    return found


_QUANTILE = re.compile(r"p(\d{1,2})|(approx_)?percentile(_cont|_disc)?|quantile_approx")


def _instead(name: str) -> str:
    """What to write for a function that is not known; empty when that cannot be told."""
    quantile = _QUANTILE.fullmatch(name)
    if quantile:
        return f"Write quantile_cont(duration_ns, 0.{quantile[1] or '99'})."
    near = difflib.get_close_matches(name, [*FREE, *COSTS], n=3)
    return f"Did you mean {' or '.join(near)}?" if near else ""


def _check_table_function(name: str, sql: str) -> None:
    if name not in TABLE_FUNCTIONS:
        raise not_a_read(f"The table function {name} may not be used in a query.", sql)


def _check_function(call: Node, sql: str) -> None:
    name = str(call["function_name"]).lower()
    if name not in FREE and name not in COSTS and name not in LAMBDAS:
        raise not_a_read(f"The function {name} may not be used in a query.", sql, _instead(name))
    values = arguments(call)
    if name.startswith(("regexp_", "string_split_regex", "str_split_regex")) and len(values) > 1:
        _check_pattern(values[1])
    if name in _FORMATTED and len(values) > 1 and not any(is_constant(values[at]) for at in _FORMATTED[name]):
        raise QueryError(f"The format of {name} must be written down.", hint="Give it as one text in quotes.")
    if "quantile" in name and len(values) > 1 and not _is_short_list(values[1]):
        raise QueryError(f"{name} takes one share, or a list of at most {_MOST_QUANTILES} that are written down.")


def _check_pattern(pattern: Node) -> None:
    if not is_constant(pattern):
        raise QueryError("A regular expression must be written down.", hint="Give it as one text in quotes.")
    counts = [max(map(int, filter(None, found)), default=1) for found in _REPEATED.findall(str(pattern))]
    if math.prod(max(count, 1) for count in counts) > _MOST_REPEATED:
        message = f"A regular expression may repeat its parts {_MOST_REPEATED} times at most, all counts multiplied."
        raise QueryError(message, hint="Use * or +.")


def _is_short_list(value: Node) -> bool:
    parts = [item for item in objects(value) if "class" in item]
    calls = {str(item["function_name"]).lower() for item in parts if item["class"] == "FUNCTION"}
    kinds = {item["class"] for item in parts}
    return len(parts) <= 2 * _MOST_QUANTILES and calls <= {"list_value", "-", "/"} and kinds <= _WRITTEN


_WRITTEN = {"CONSTANT", "CAST", "FUNCTION", "OPERATOR"}


def _check_window(call: Node, sql: str) -> None:
    name = str(call["function_name"]).lower()
    if name and name not in WINDOWED:
        raise not_a_read(f"The function {name} may not be used with OVER: use it with GROUP BY.", sql)


# A long BIGNUM takes minutes, and a deep JSON made a VARIANT ends the process.
_REFUSED_TYPES = frozenset({"bignum", "varint", "variant"})


def _check_cast(cast: Node, _: str) -> None:
    parts = (item for key, part in cast.items() if key != "child" for item in objects(part))
    names = {str(value).lower() for item in parts for value in item.values()}
    for name in sorted(names & _REFUSED_TYPES):
        raise QueryError(f"The type {name.upper()} may not be used in a query.", hint="Use HUGEINT, or JSON.")


_CHECKS: dict[str, Callable[[Node, str], None]] = {
    "FUNCTION": _check_function,
    "WINDOW": _check_window,
    "CAST": _check_cast,
}


# What the parser takes grows with the square of these: 7,500 UNIONs take over twelve seconds.
_MOST = {r"[\w.]+|[^\w\s]": 20_000, r"[(\[{]": 5000, r"\.": 5000, r"(?i)\b(union|except|intersect|join)\b": 300}


def check_text(sql: str) -> None:
    """Raise ``QueryError`` for a text that would take the parser long, which cannot be interrupted."""
    if any(sum(1 for _ in re.finditer(pattern, sql)) > most for pattern, most in _MOST.items()):
        raise QueryError("The query is too long to be read by the parser.", hint="Split it, or shorten its lists.")


def _check_plan(found: list[Node]) -> None:
    if any(item.get("type") == "RECURSIVE_CTE_NODE" for item in found):
        # DuckDB 2.0 waits for ever when one that spreads over all cores is interrupted (CancelTasks).
        raise QueryError("WITH RECURSIVE may not be used in a query.", hint="trace_spans() gives the spans of a trace.")
    if any(item.get("materialized") == "CTE_MATERIALIZE_NEVER" for item in found):
        raise QueryError("WITH … AS NOT MATERIALIZED may not be used: it plans a table again wherever it is named.")
    stars = [_stars(item["select_list"]) for item in found if item.get("type") == "SELECT_NODE"]
    if math.prod(max(count, 1) for count in stars) > _MOST_STARS:
        message = f"The query has too many stars: {_MOST_STARS} are allowed, those of all SELECTs multiplied."
        raise QueryError(message, hint="Name the columns.")
    fields = [sum(not is_constant(value) for value in arguments(item)) for item in found if _makes_struct(item)]
    if math.prod(max(count, 1) for count in fields) > _MOST_FIELDS:
        raise QueryError("The query makes structs of too many fields.", hint="Give columns instead.")


def _stars(select_list: list[Any]) -> int:
    return sum(item.get("class") == "STAR" for item in objects(select_list))


def _makes_struct(item: Node) -> bool:
    return item.get("class") == "FUNCTION" and str(item["function_name"]).lower() in _STRUCTS
