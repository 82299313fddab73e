"""The rows of one page of a query, in their order.

SQLite filters, sorts and cuts in one statement wherever an index, or columns that an index holds, decide the
filter.  A condition that looks into the texts of every row would take too long that way in a large data
source.  A sample of the rows tells which of two ways is short:

- many rows fit: those in front of the order are asked one after the other until there are enough;
- few fit: their keys are found in copies of the texts (text_chunks.py), and the statement gets the keys.

All ways give the same rows.
"""

# table and column names are made by the board itself; values are always parameters

# ruff: noqa: S608  # table and column names are the board's own; values are always parameters

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from daemon.local_board import text_chunks
from daemon.local_board.board import Call
from daemon.local_board.filter_sql import FALSE, TRUE, Compiler, Sql, cell_of
from daemon.local_board.schema import Property, Schema
from daemon.local_board.text_chunks import Test

LARGE_FROM = 4_000
"""Rows from which on conditions on texts go one of the two short ways."""

SAMPLED = 256
"""Keys at which a sample looks."""

LISTED = 3_000
"""Rows up to which they are looked up by their keys; more are told by a byte for each key."""

_DENSE_FROM = 8
"""Sampled rows that have to fit, and ..."""
_DENSE_ONE_IN = 8
"""... of how many one, for the rows in front to be asked: some thousand of them at most.  With 16 a wrong
guess (those that fit stand last in the order) cost 22 ms over 100,000 rows, and a right one saved 3."""
_RARE_ONE_IN = 100
"""Of how many sampled rows one at most meets the rest of the filter, for that to be the short way."""

_BY_BYTES = "substr(?, r.page"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """One term of the order.  Empty values come last in both directions."""

    sql: str
    descending: bool

    @property
    def term(self) -> str:
        """The term for ORDER BY."""
        return f"{self.sql} {'DESC' if self.descending else 'ASC'} NULLS LAST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What rows are asked for.  start: the place at which they begin; trash: whether rows in it are meant."""

    schema: Schema
    filter: dict[str, Any] | None
    sorts: list[Sort]
    start: Sql | None
    trash: bool


def rows(call: Call, asked: Asked, compiled: Compiler, where: Sql, limit: int) -> list[sqlite3.Row]:
    """The first `limit` rows.  compiled, where: the whole filter, compiled."""
    if not compiled.reads_rows:
        return _ordered(call, asked, where, limit)
    span = text_chunks.span(call.db, asked.schema)
    if span.end - span.first < LARGE_FROM:
        return _ordered(call, asked, where, limit)
    cheap = _cheap(call, asked)
    sample = _sample(call, asked, cheap, where, span)
    if sample.rows * (span.end - span.first) < LARGE_FROM * SAMPLED:
        return _ordered(call, asked, where, limit)
    if sample.eligible * _RARE_ONE_IN <= sample.rows:
        return _ordered(call, asked, where, limit)
    if sample.fitting >= _DENSE_FROM and sample.fitting * _DENSE_ONE_IN >= sample.eligible:
        ahead = 2 * limit * sample.eligible // sample.fitting
        in_front = _ordered(call, asked, cheap, ahead)
        fitting = _among(call, asked, where, (row["page"] for row in in_front))
        out = [row for row in in_front if row["page"] in fitting]
        if len(out) >= limit or len(in_front) < ahead:
            return out[:limit]
    found = _found(call, asked, compiled.tests, span)
    known = Compiler(call, asked.schema, found).filter(asked.filter)
    return _ordered(call, asked, known, limit, by_key=_decided_by_key(call, asked, found))


def _decided_by_key(call: Call, asked: Asked, found: Mapping[Test, Sql]) -> bool:
    """Whether most rows that do not fit are told by the bytes for their keys alone."""
    given = asked.filter or {}
    members = given.get("and", [given])
    compiled = (Compiler(call, asked.schema, found).filter(member) for member in members)
    return any(sql.text.startswith(_BY_BYTES) for sql in compiled)


def _ordered(call: Call, asked: Asked, where: Sql, limit: int, *, by_key: bool = False) -> list[sqlite3.Row]:
    """One statement.  by_key: a row's key is enough to tell that it does not fit, for most of them."""
    schema, sorts, start = asked.schema, asked.sorts, asked.start
    keys = "".join(f", {sort.sql} AS k{index}" for index, sort in enumerate(sorts))
    order = ", ".join([*(sort.term for sort in sorts), "r.page DESC"])
    begin = f" AND ({start.text})" if start else ""
    # The index in title order holds the rows outside the trash.  Without statistics SQLite would take it as
    # a short cut to them for every query, and read the table in title order; the plus forbids that.
    by_title = bool(sorts) and sorts[0].sql == cell_of(schema.title, "r").of("k")
    hint = "" if by_title and (by_key or where == TRUE) else "+"
    sql = (
        f"SELECT r.page{keys} FROM {schema.table} r"
        f" WHERE {hint}r.trash = {int(asked.trash)} AND ({where.text}){begin}"
        f" ORDER BY {order} LIMIT {limit}"
    )
    return call.db.execute(sql, (*where.params, *(start.params if start else []))).fetchall()


def _cheap(call: Call, asked: Asked) -> Sql:
    """What of a filter holds for every row that fits and does not look into the texts of all rows."""
    given = asked.filter or {}
    members = given.get("and", []) if "or" not in given else []
    light = []
    for member in members:
        compiler = Compiler(call, asked.schema)
        compiler.filter(member)
        if not compiler.reads_rows:
            light.append(member)
    return Compiler(call, asked.schema).filter({"and": light}) if light else TRUE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """How many of the sampled keys are rows, meet the cheap part and where they may be, and fit."""

    rows: int
    eligible: int
    fitting: int


def _sample(call: Call, asked: Asked, cheap: Sql, where: Sql, span: text_chunks.Span) -> _Sample:
    keys = [span.first + (span.end - span.first) * index // SAMPLED for index in range(SAMPLED)]
    sql = (
        "SELECT count(*), total(eligible), total(eligible AND fits) FROM"
        f" (SELECT r.trash = {int(asked.trash)} AND coalesce(({cheap.text}), 0) AS eligible,"
        f" coalesce(({where.text}), 0) AS fits"
        f" FROM {asked.schema.table} r WHERE r.page IN (SELECT value FROM json_each(?)))"
    )
    counts = call.db.execute(sql, (*cheap.params, *where.params, json.dumps(keys))).fetchone()
    return _Sample(rows=int(counts[0]), eligible=int(counts[1]), fitting=int(counts[2]))


def _among(call: Call, asked: Asked, where: Sql, pages: Iterable[int]) -> set[int]:
    """Which of these rows fit."""
    sql = (
        f"SELECT r.page FROM {asked.schema.table} r"
        f" WHERE r.page IN (SELECT value FROM json_each(?)) AND ({where.text})"
    )
    return {row[0] for row in call.db.execute(sql, (json.dumps(list(pages)), *where.params))}


def _found(
    call: Call, asked: Asked, tests: Mapping[Test, Property], span: text_chunks.Span
) -> dict[Test, Sql]:
    """The rows that pass each test, as conditions on their keys.

    As soon as one that every row has to pass leaves a list, the statement asks the listed rows for the rest.
    """
    out: dict[Test, Sql] = {}
    needed = _needed(call, asked)
    for prop in {prop.number: prop for prop in tests.values()}.values():
        own = [test for test in tests if test.number == prop.number]
        for test, marks in text_chunks.look(call, asked.schema, prop, own, span).items():
            out[test] = _by_key(marks, span.first)
        if any(test in needed and not out[test].text.startswith(_BY_BYTES) for test in own):
            break
    return out


def _needed(call: Call, asked: Asked) -> set[Test]:
    """The tests that are a filter's only condition, or stand in its outermost `and`."""
    given = asked.filter or {}
    members = given.get("and", [given]) if "or" not in given else []
    out: set[Test] = set()
    for member in members:
        if "and" not in member and "or" not in member:
            compiler = Compiler(call, asked.schema)
            compiler.filter(member)
            out |= compiler.tests.keys()
    return out


def _by_key(marks: bytes, first: int) -> Sql:
    count = marks.count(1)
    if not count:
        return FALSE
    if count > LISTED:
        return Sql(f"{_BY_BYTES} - {first - 1}, 1) = x'01'", [marks])
    pages = []
    at = marks.find(1)
    while at >= 0:
        pages.append(first + at)
        at = marks.find(1, at + 1)
    return Sql("r.page IN (SELECT value FROM json_each(?))", [json.dumps(pages)])
