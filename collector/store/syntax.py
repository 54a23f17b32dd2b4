"""DuckDB's syntax tree as JSON: what a query is made of, and back to SQL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from collector.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import duckdb

Node: TypeAlias = dict[str, Any]

CONSTRUCTORS = frozenset({"list_value", "array_value", "list_pack", "row", "struct_pack", "map"})
"""Functions that only put their arguments together."""

_SERIALIZE = "SELECT json_serialize_sql($sql::VARCHAR)"
_DESERIALIZE = "SELECT json_deserialize_sql($tree::JSON)"


def parse(cursor: duckdb.DuckDBPyConnection, sql: str) -> Node | None:
    """Return the tree of a SELECT; None for anything else. Raises ``QueryError`` when it is nested too deeply."""
    row = cursor.execute(_SERIALIZE, {"sql": sql}).fetchone()
    try:
        tree = json.loads(row[0] if row else "null")
    except RecursionError as error:
        raise too_deep() from error
    return None if not tree or tree["error"] else tree


def unparse(cursor: duckdb.DuckDBPyConnection, tree: Node) -> str:
    """Return the SQL of a tree."""
    row = cursor.execute(_DESERIALIZE, {"tree": json.dumps(tree)}).fetchone()
    return str(row[0]) if row else ""


def too_deep() -> QueryError:
    """Return what says that a query is nested too deeply."""
    return QueryError("The query is nested too deeply.", hint="Split it with WITH.")


def objects(tree: Any) -> Iterator[Node]:
    """All objects of a tree, outer ones first."""
    waiting = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(reversed(item.values()))
        elif isinstance(item, list):
            waiting.extend(reversed(item))


def arguments(call: Node) -> list[Node]:
    """The arguments of a function's call."""
    if "arguments" in call:  # from DuckDB 2.0 on, with their names
        return [argument["expression"] for argument in call["arguments"]]
    return list(call["children"])


def with_arguments(call: Node, expressions: Sequence[Node]) -> Node:
    """Return the call with other arguments, as many."""
    if "arguments" in call:
        pairs = zip(call["arguments"], expressions, strict=True)
        return {**call, "arguments": [{**argument, "expression": expression} for argument, expression in pairs]}
    pairs = zip(call["children"], expressions, strict=True)
    return {**call, "children": [{**expression, "alias": argument["alias"]} for argument, expression in pairs]}


def is_constant(expression: Node) -> bool:
    """Whether an expression is written down as a value, so that the text of the query bounds it."""
    if expression["class"] == "CAST":
        return is_constant(expression["child"])
    if expression["class"] == "FUNCTION" and str(expression["function_name"]).lower() in CONSTRUCTORS:
        return all(map(is_constant, arguments(expression)))
    return bool(expression["class"] == "CONSTANT")


class Expressions:
    """Makes trees of expressions that are written as SQL."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor
        self._select = self._parse("1")
        self._made: dict[str, Any] = {}

    def _parse(self, sql: str) -> Node:
        tree = parse(self._cursor, f"SELECT {sql}")
        if tree is None:
            raise ValueError(sql)
        return tree

    def tree(self, sql: str, holes: Mapping[str, Node] | None = None) -> Node:
        """Return the tree of an expression, with ``holes`` filled where it names columns so."""
        if sql not in self._made:
            self._made[sql] = self._parse(sql)["statements"][0]["node"]["select_list"][0]
        return dict(_filled(self._made[sql], holes or {}))

    def text(self, tree: Node) -> str:
        """Return an expression as DuckDB writes it, which is how it calls its column."""
        statement = self._select["statements"][0]
        node = {**statement["node"], "select_list": [{**tree, "alias": ""}]}
        whole = {**self._select, "statements": [{**statement, "node": node}]}
        return unparse(self._cursor, whole).removeprefix("SELECT ")


def _filled(item: Any, holes: Mapping[str, Node]) -> Any:
    if isinstance(item, list):
        return [_filled(part, holes) for part in item]
    if not isinstance(item, dict):
        return item
    names = item.get("column_names") or []
    if item.get("class") == "COLUMN_REF" and len(names) == 1 and names[0] in holes:
        return {**holes[names[0]], "alias": item["alias"]}  # by which struct_pack names its fields in 1.5
    return {key: _filled(value, holes) for key, value in item.items()}
