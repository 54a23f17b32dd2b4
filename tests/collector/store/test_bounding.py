"""Checking what a function would make before it does changes no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest

from collector.errors import QueryError
from collector.store.costs import COSTS, FREE
from collector.store.protocol import QueryLimits
from collector.store.sandbox import run_read

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBERS = "FROM range(4) t(a)"

ANSWERS = (
    "SELECT 'a' || 1 || NULL AS x, concat('a', NULL, 2), concat_ws('-', 'a', NULL, 'b')",
    f"SELECT 'k' || a % 2 || '/' AS k, count(*) AS n {_NUMBERS} GROUP BY ALL ORDER BY k",
    "SELECT replace('aXb', 'X', 'yy'), regexp_replace('a1b2', '[0-9]+', '#', 'g')",
    "SELECT regexp_extract('a1', '([a-z])([0-9])', ['x', 'y']), regexp_split_to_array('a1b', '[0-9]')",
    "SELECT [x + 1 FOR x IN range(5) IF x % 2 = 0], string_split('a,b', ',')",
    "SELECT list_transform(['a', 'b'], lambda x, i: x || i), list_filter([1, 2, 3], lambda x: x > 1)",
    "SELECT list_reduce([1, 2, 3], lambda a, x: a + x), array_append([1], 2), [1, 2] || [3]",
    "SELECT list_transform([[1, 2], [3]], lambda l: list_transform(l, lambda x: x * 10 + len(l)))",
    "SELECT unnest(range(3)), unnest({'a': 1, 'b': 'x' || 2})",
    "SELECT lpad('7', 3, '0'), format('{:5.2f}|{}', 1.5, 'x'), printf('%05d', 42), bar(3, 0, 10, 5)",
    "SELECT COLUMNS(*) || 'x' FROM (SELECT 'a' AS p, 'b' AS q)",
    "SELECT * REPLACE ('x' || a AS a) FROM range(2) t(a)",
    f"SELECT 'x' || a {_NUMBERS} ORDER BY 'x' || a DESC",
    f"SELECT string_agg('x' || a, ',' ORDER BY 'x' || a) {_NUMBERS}",
    f"SELECT sum(len('x' || a)) FILTER (WHERE 'x' || a <> 'x1') {_NUMBERS}",
    f"SELECT lag('x' || a) OVER (ORDER BY 'k' || a) || 'y' {_NUMBERS}",
    f"SELECT a, 'x' || a AS b {_NUMBERS} QUALIFY row_number() OVER (ORDER BY 'x' || a DESC) = 1",
    f"SELECT {{'a': a, 'b': [a, a + 1]}}, MAP(['k' || a], [a]) {_NUMBERS}",
    f"SELECT a {_NUMBERS} WHERE 'x' || a IN ('x1', 'x2')",
    "SELECT * FROM range(2) a(x) JOIN range(3) b(y) ON 'k' || x = 'k' || y ORDER BY ALL",
    "SELECT (SELECT max('x' || b) FROM range(3) u(b) WHERE b <= a) FROM range(2) t(a) ORDER BY ALL",
    "SELECT to_json({'a': 1, 'b': [1, 2]}), json_object('a', 1), json_array(1, 'x'), hex('ab'), url_encode('a b')",
    "SELECT range(DATE '2020-01-01', DATE '2020-01-04', INTERVAL 1 DAY), generate_series(1, 10, 3)",
    "SELECT generate_series(TIMESTAMP '2020-01-01', TIMESTAMP '2020-01-02', INTERVAL 6 HOUR)",
    "SELECT 'a' || 'b' AS x UNION ALL SELECT 'c' || 'd' ORDER BY 1",
    "WITH t AS (SELECT 'a' || 'b') SELECT * FROM t",
    f"SELECT CASE WHEN a > 1 THEN repeat('x', a::INT) END, levenshtein('a', 'b' || a) {_NUMBERS} ORDER BY ALL",
    "PIVOT (SELECT 'k' || a % 2 AS k, a FROM range(4) t(a)) ON k IN ('k0', 'k1') USING sum(a)",
    f"SELECT grouping('k' || a), 'k' || a {_NUMBERS} GROUP BY ROLLUP ('k' || a) ORDER BY ALL",
    f"SELECT 'k' || a, count(*) {_NUMBERS} GROUP BY 1 HAVING length('k' || a) > 0 ORDER BY 1",
    "SELECT quantile_cont(a, [0.5, 0.9]), quantile(a, 0.5) FROM range(10) t(a)",
    "SELECT strftime(TIMESTAMP '2020-01-01', '%Y'), strptime('2020', '%Y'), 'abc' SIMILAR TO '.*c'",
    "SELECT list_zip([1], [2]), list_resize([1], 3, 0), array_to_string(['a', 'b'], '-'), repeat([1], 2)",
)


def _answer(sql: str) -> pa.Table:
    return duckdb.connect().sql(sql).to_arrow_table()


@pytest.mark.parametrize("sql", ANSWERS)
def test_an_answer_is_the_same(sql: str) -> None:
    """Its rows, its types and the names of its columns are those that DuckDB gives without the checks.

    DuckDB 1.5 names columns that have no name by their own text, which it writes in another way once it was parsed.
    """
    checked, plain = run_read(duckdb.connect(), sql, QueryLimits()), _answer(sql)
    if not duckdb.__version__.startswith("1."):
        assert checked.column_names == plain.column_names
    assert checked.rename_columns(plain.column_names).equals(plain)


def test_arguments_are_evaluated_once() -> None:
    """A length that is random cannot be short when it is looked at and long when it is used."""
    sql = "SELECT max(length(repeat('x', (random() * 200000)::BIGINT))) AS longest FROM range(9999)"
    with pytest.raises(QueryError, match=r"builds takes more than 131,072 bytes"):
        run_read(duckdb.connect(), sql, QueryLimits())


def test_a_value_of_the_greatest_length_is_built() -> None:
    """The limit is inclusive, and is shared by all calls of a query."""
    connection = duckdb.connect()
    table = run_read(connection, "SELECT length(repeat('x', 131072)) AS n", QueryLimits())
    assert table.to_pylist() == [{"n": 131072}]
    with pytest.raises(QueryError, match="65,536 bytes") as caught:
        run_read(connection, "SELECT repeat('x', 70000), repeat('y', 1)", QueryLimits())
    assert (caught.value.code, caught.value.hint[:11]) == ("memory_limit", "Take a part")


def test_no_function_is_in_two_lists() -> None:
    """A function that makes values longer is not also free, and each that is listed exists."""
    found = duckdb.connect().execute("SELECT lower(function_name) FROM duckdb_functions()").fetchall()
    known = {name for (name,) in found}
    assert not FREE & set(COSTS)
    if duckdb.__version__ >= "2":
        assert not set(COSTS) - known
        assert sorted(FREE - known) == ["->"]  # an operator of JSON that DuckDB does not list
