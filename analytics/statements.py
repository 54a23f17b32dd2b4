"""Statements: what the spans that talk to databases say, each distinct text read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.schema import SERVER

if TYPE_CHECKING:
    from analytics.arrays import Flags, Rows
    from analytics.forest import Forest

_WRITES = (
    *("insert", "update", "delete", "merge", "replace", "upsert", "truncate", "copy"),
    *("insertone", "insertmany", "updateone", "updatemany", "replaceone", "deleteone", "deletemany", "bulkwrite"),
    *("findandmodify", "findoneandupdate", "findoneandreplace", "findoneanddelete", "bulk", "index"),
    *("putitem", "updateitem", "deleteitem", "batchwriteitem", "transactwriteitems"),
)
"""First words of SQL, and operations of MongoDB, Elasticsearch and DynamoDB, that change data."""
_KEY_VALUE = ("redis", "valkey", "memcached")
_KEY_VALUE_WRITES = (
    *("set", "setex", "psetex", "setnx", "getset", "getdel", "mset", "add", "append", "incr", "incrby", "decr", "cas"),
    *("decrby", "hset", "hmset", "hincrby", "hdel", "lpush", "rpush", "lpop", "rpop", "sadd", "srem", "zadd", "zrem"),
    *("zincrby", "del", "unlink", "xadd", "delete", "replace"),
)
_CONTROL = ("begin", "start", "commit", "rollback", "abort", "end", "prepare", "savepoint", "release", "xa", "set")
"""First words of statements that neither read nor write rows: transactions and settings."""
_FIRST_WORD = r"(?s)^(?:\s|\(|/\*.*?\*/|--[^\n]*\n)*([A-Za-z_]+)"
_WRITE_WITHIN = r"(?is)\b(?:insert\s+into|delete\s+from|merge\s+into|update\s+\S+\s+(?:as\s+\S+\s+)?set)\b"
"""Writes in a statement that begins with WITH."""
_NAME = r"""[a-z_"`\[][\w."`\[\]$]*"""
_TABLE = rf"(?i)\b(?:from|join|into|update|truncate\s+table|truncate)\s+(?:only\s+)?{_NAME}"
_WRITTEN = r"(?:(?:insert|replace|merge)\s+into|delete\s+from|update|truncate\s+table|truncate)"
_TARGET = rf"(?i)\b{_WRITTEN}\s+(?:only\s+)?{_NAME}"
_NO_TABLE = r"(?i)\b(?:(?:for|key|do)\s+update|distinct\s+from)\b|\b(?:extract|substring|trim|overlay)\s*\([^()]*\)"
"""What has one of these words and no table behind it."""
_DEFINED = rf"(?i){_NAME}\s+as\s+(?:not\s+)?(?:materialized\s+)?\("
_NO_TABLES = ("set", "select", "of", "nowait", "skip", "table", "dual", "lateral", "unnest", "values", "only")
"""Words behind FROM or UPDATE that name no table."""
_LITERAL = r"(?:'(?:[^']|'')*'|\b\d+(?:\.\d+)?\b)"
_KEYS = ("db_system", "db_statement", "db_operation", "db_collection", "span_name")


@dataclass(frozen=True, slots=True)
class Statements:
    """The spans of a forest that talk to a database (its own SERVER spans aside), and what they say.

    ``rows`` are rows of the forest, ascending, ``code`` each one's row in ``texts``. That has a row for each distinct
    statement: ``text`` (the statement, else operation and collection, else the span's name), ``shape`` (the text
    without literals), ``verb`` (its first word, lower case), ``writes``, ``reads`` (neither a write nor about
    transactions), ``tables`` (a list of names, lower case, without quotes, and without system tables), and those of
    them that are ``written``.
    """

    rows: Rows
    code: Rows
    texts: pl.DataFrame

    def mark(self, wanted: pl.Series) -> Flags:
        """Return for each of ``rows`` the flag of its text."""
        flags: Flags = wanted.fill_null(value=False).to_numpy()[self.code]
        return flags


def read_statements(forest: Forest) -> Statements:
    """Return the statements of all database spans; a forest without any gives no rows."""
    told = forest.source["db_system"].is_not_null().to_numpy()[forest.source_row]
    rows = np.flatnonzero(told & (forest.kind != SERVER)).astype(np.int32)
    spans = pl.DataFrame([forest.column(name, rows) for name in _KEYS]).with_row_index("place")
    distinct = spans.group_by(_KEYS).agg("place").sort(pl.col("place").list.first())
    code = np.empty(len(rows), np.int32)
    places = distinct.select("place").with_row_index("code").explode("place")
    code[places["place"].to_numpy()] = places["code"].to_numpy()
    return Statements(rows, code, _describe(distinct.drop("place")))


def _describe(distinct: pl.DataFrame) -> pl.DataFrame:
    """Return ``texts`` of Statements."""
    named = distinct.with_columns(pl.col(name).cast(pl.String).replace("", None) for name in _KEYS)
    operation = pl.concat_str("db_operation", "db_collection", separator=" ", ignore_nulls=True)
    text = pl.coalesce("db_statement", pl.when(pl.col("db_operation").is_not_null()).then(operation), "span_name")
    first = text.str.extract(_FIRST_WORD).str.to_lowercase()
    described = named.with_columns(
        pl.col("db_system", "db_operation").str.to_lowercase(),
        text=text.fill_null(""),
        shape=text.fill_null("").str.replace_all(_LITERAL, "?"),
        verb=pl.coalesce(first, pl.col("db_operation").str.to_lowercase()).fill_null(""),
    ).with_columns(key_value=pl.col("db_system").is_in(_KEY_VALUE).fill_null(value=False))
    judged = described.with_columns(writes=_writes())
    control = pl.col("verb").is_in(_CONTROL) & ~pl.col("key_value")
    return judged.select(
        *("text", "shape", "verb", "writes"),
        reads=~pl.col("writes") & ~control,
        tables=_tables(judged, _TABLE, pl.lit(value=True)),
        written=_tables(judged, _TARGET, pl.col("writes")),
    )


def _writes() -> pl.Expr:
    """Tell whether a statement changes data; what only says the operation is judged by that."""

    def says(words: tuple[str, ...]) -> pl.Expr:
        return pl.any_horizontal(pl.col("verb", "db_operation").is_in(words).fill_null(value=False))

    within = (pl.col("verb") == "with") & pl.col("shape").str.contains(_WRITE_WITHIN)
    return pl.when("key_value").then(says(_KEY_VALUE_WRITES)).otherwise(says(_WRITES) | within)


def _tables(texts: pl.DataFrame, pattern: str, collections: pl.Expr) -> pl.Series:
    """Return the tables that each text names in this way, or its collection: without the names that WITH defines."""
    collection = pl.when(collections).then(pl.col("db_collection"))
    found = texts.select("shape", "key_value", collection, row=pl.int_range(pl.len()))
    sql = pl.when(~pl.col("key_value")).then(pl.col("shape").str.replace_all(_NO_TABLE, " "))
    named = found.with_columns(table=sql.str.extract_all(pattern), defined=sql.str.extract_all(_DEFINED))
    tables = named.select("row", "table").explode("table").drop_nulls().with_columns(_cleaned(r"(?s)^.*\s"))
    defined = named.select("row", pl.col("defined").alias("table")).explode("table").drop_nulls()
    tables = tables.join(defined.with_columns(_cleaned(r"(?is)\s+as\b.*$")), on=["row", "table"], how="anti")
    named_so = found.select("row", table=pl.col("db_collection").str.to_lowercase()).drop_nulls()
    kept = pl.concat([tables, named_so]).filter(_is_table()).unique().sort("row", "table")
    lists = kept.group_by("row").agg("table")
    joined = found.select("row").join(lists, on="row", how="left", maintain_order="left")
    return joined["table"].fill_null([])


def _cleaned(rest: str) -> pl.Expr:
    """Return a table's name without what stands around it, quotes and the schema that everybody has."""
    name = pl.col("table").str.replace(rest, "").str.replace_all(r"""["`\[\]]""", "").str.to_lowercase()
    return name.str.replace(r"^(?:public|dbo)\.", "").str.strip_chars_end(".").alias("table")


def _is_table() -> pl.Expr:
    system = pl.col("table").str.contains(r"^(?:pg_|information_schema\.|sqlite_|sys\.|mysql\.)")
    return ~system & ~pl.col("table").is_in(_NO_TABLES) & (pl.col("table") != "")
