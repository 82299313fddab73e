"""Copies of a property's texts in chunks, so that a text condition reads them alone and many at a time.

A row of a rows table holds everything of its page, and reading 100,000 of them for one column takes longer
than a query may.  A chunk holds the folded texts of one property for the CHUNK pages of a range of keys:
Python looks for the operand in all of them at once.

Chunks are copies that need no care.  Queries make those that they miss, triggers of the rows table delete
one with every change of a row in it, in the same transaction, and a missing one is read from the rows.  A
file of an earlier version simply has none.
"""

# table and column names are made by the board itself; values are always parameters

# ruff: noqa: S608  # table and column names are the board's own; values are always parameters

from __future__ import annotations

import re
import sqlite3
import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, repeat
from operator import contains
from typing import Any

from daemon.local_board import cells
from daemon.local_board.board import Call
from daemon.local_board.schema import Property, Schema

CHUNK = 256
"""Page keys of a chunk: what a change makes a query read again from the rows.  Part of the file's format:
the triggers in it divide by this number."""

LARGEST = 1_048_576
"""Characters of a chunk; longer texts stay in their rows alone, or every change would cost too much."""

MADE_FROM = 8
"""Missing chunks from which on a query makes them: fewer cost less than writing does."""

_LOOPED = 64
"""Texts that are looked for one by one in a chunk; with more of them all its texts are compared."""

_MARK = "\x1e"
"""Stands before and behind every text of a chunk.  A text with one in it is left to its row."""


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on a text: contains (any of the needles), starts_with, ends_with (one) or empty (none).

    needles: folded and not empty.  negative: whether the rows that do not fit are meant, empty texts among
    them.
    """

    number: int
    kind: str
    needles: tuple[str, ...] = ()
    negative: bool = False

    def fits(self, text: str) -> bool:
        """Whether a folded text fits, before the negation."""
        if self.kind == "contains":
            return any(needle in text for needle in self.needles)
        if self.kind == "empty":
            return not text
        (needle,) = self.needles
        return text.startswith(needle) if self.kind == "starts_with" else text.endswith(needle)


@dataclass(frozen=True, slots=True)
class Span:
    """The page keys of a data source, in whole chunks: `first` up to, not including, `end`."""

    first: int
    end: int


_KINDS = {
    "contains": ("contains", False),
    "does_not_contain": ("contains", True),
    "starts_with": ("starts_with", False),
    "ends_with": ("ends_with", False),
    "is_empty": ("empty", False),
    "is_not_empty": ("empty", True),
}
"""Operators of filters to kinds of tests, and whether the rows that do not fit are meant."""


def test_of(prop: Property, operator: str, operand: Any, needles: Callable[[], list[str]]) -> Test | None:
    """A condition of a filter as a test; None where an index serves it, or it is the same for every row.

    needles: gives what the operand stands for, folded.
    """
    if operand == "":
        operator = {"equals": "is_empty", "does_not_equal": "is_not_empty"}.get(operator, "")
    if operator not in _KINDS:
        return None
    kind, negative = _KINDS[operator]
    wanted = () if kind == "empty" else tuple(needles())
    return Test(prop.number, kind, wanted, negative) if wanted or kind == "empty" else None


def span(db: sqlite3.Connection, schema: Schema) -> Span:
    """Where the pages of a data source are."""
    # Each in a query of its own: together they would be looked for in every row.
    low, high = db.execute(
        f"SELECT (SELECT min(page) FROM {schema.table}), (SELECT max(page) FROM {schema.table})"
    ).fetchone()
    if low is None:
        return Span(0, 0)
    return Span(low // CHUNK * CHUNK, (high // CHUNK + 1) * CHUNK)


def look(call: Call, schema: Schema, prop: Property, tests: Iterable[Test], where: Span) -> dict[Test, bytes]:
    """For each test of one property a byte for each key of the span: 1 where the page with that key fits.

    Bytes of keys without a page mean nothing.
    """
    found = {test: bytearray(where.end - where.first) for test in tests}
    stored = call.db.execute(
        "SELECT number, offsets, starts, texts FROM text_chunk"
        " WHERE property = ? AND number >= ? AND number < ? ORDER BY number",
        (prop.number, where.first // CHUNK, where.end // CHUNK),
    )
    missing: list[int] = []
    crowded: set[Test] = set()
    expected = where.first // CHUNK
    for number, offsets, packed, texts in stored:
        missing.extend(range(expected, number))
        expected = number + 1
        if texts is None:
            _read_rows(call.db, schema, prop, number, found, where)
            continue
        begin = number * CHUNK - where.first
        for test, marks in found.items():
            fitting = _fitting(texts, packed, test, crowded=test in crowded)
            (crowded.add if fitting.count(1) > _LOOPED else crowded.discard)(test)
            if len(offsets) == CHUNK:
                marks[begin : begin + CHUNK] = fitting
                continue
            for offset, fits in zip(offsets, fitting, strict=True):
                marks[begin + offset] = fits
    missing.extend(range(expected, where.end // CHUNK))
    for number in missing:
        _read_rows(call.db, schema, prop, number, found, where)
    if len(missing) >= MADE_FROM:
        call.later_do(lambda db: make(db, call.board.schema(db, schema.key), prop, missing))
    return {test: bytes(m).translate(_OTHER) if test.negative else bytes(m) for test, m in found.items()}


_OTHER = bytes([1, 0, *range(2, 256)])


def _read_rows(
    db: sqlite3.Connection,
    schema: Schema,
    prop: Property,
    number: int,
    found: dict[Test, bytearray],
    where: Span,
) -> None:
    for page, text in _rows(db, schema, prop, number):
        for test, marks in found.items():
            if test.fits(text):
                marks[page - where.first] = 1


def _rows(db: sqlite3.Connection, schema: Schema, prop: Property, number: int) -> list[tuple[int, str]]:
    sql = f"SELECT page, {cells.folded(prop)} FROM {schema.table} WHERE page >= ? AND page < ? ORDER BY page"
    rows = db.execute(sql, (number * CHUNK, (number + 1) * CHUNK)).fetchall()
    return [(row[0], row[1]) for row in rows]


_AROUND = {
    "contains": ("", ""),
    "starts_with": (_MARK, ""),
    "ends_with": ("", _MARK),
    "empty": (_MARK, _MARK),
}


def _fitting(texts: str, packed: bytes, test: Test, *, crowded: bool) -> bytes | bytearray:
    """For each text of a chunk 1 where it fits, before the negation.

    packed: where each text begins, and the end.  crowded: whether many fit in the chunk before.  A needle
    with a mark in it fits no text of a chunk: those that it could fit are left to their rows.
    """
    if crowded:
        return _compared(texts, test)
    out = bytearray(len(packed) // 4 - 1)
    starts = array("I")
    before, behind = _AROUND[test.kind]
    looped = 0
    for needle in test.needles or ("",):
        if _MARK in needle:
            continue
        for hit in _pattern(before + needle, behind).finditer(texts):
            if not starts:
                starts.frombytes(packed)
                if sys.byteorder == "big":
                    starts.byteswap()
            looped += 1
            if looped > _LOOPED:
                return _compared(texts, test)
            out[bisect_right(starts, hit.start() + len(before)) - 1] = 1
    return out


@lru_cache(maxsize=64)
def _pattern(wanted: str, behind: str) -> re.Pattern[str]:
    """Finds a text's first place at most: the rest of the text, or the mark behind it, is looked past.

    Over ordinary sentences `str.find` took twice as long where something was found, and as long where nothing
    was.
    """
    return re.compile(re.escape(wanted) + (f"(?={behind})" if behind else f"[^{_MARK}]*"))


def _compared(texts: str, test: Test) -> bytes:
    parts = texts[1:-1].split(_MARK)
    if test.kind == "contains" and len(test.needles) == 1:
        return bytes(map(contains, parts, repeat(test.needles[0])))
    return bytes(map(test.fits, parts))


def make(db: sqlite3.Connection, schema: Schema, prop: Property, numbers: Iterable[int]) -> None:
    """Writes chunks that are missing, as the rows are now; nothing for a property that is no more.

    The triggers come first, in the same transaction: no chunk ever stands without them.
    """
    now = schema.by_number(prop.number)
    if now is None or now.type != prop.type:
        return
    for name, event, key in (
        ("new", "INSERT", "new"),
        ("gone", "DELETE", "old"),
        ("changed", f"UPDATE OF {', '.join(cells.text_columns(prop))}", "new"),
    ):
        db.execute(
            f"CREATE TRIGGER IF NOT EXISTS {_trigger(schema, prop, name)} AFTER {event} ON {schema.table}"
            f" BEGIN DELETE FROM text_chunk WHERE property = {prop.number}"
            f" AND number = {key}.page / {CHUNK}; END"
        )
    for number in numbers:
        rows = _rows(db, schema, prop, number)
        offsets = bytes(page % CHUNK for page, _ in rows)
        starts = list(accumulate((len(text) + 1 for _, text in rows), initial=1))
        texts: str | None = _MARK + "".join(text + _MARK for _, text in rows)
        if starts[-1] > LARGEST or any(_MARK in text for _, text in rows):
            starts, texts = [], None
        db.execute(
            "INSERT OR IGNORE INTO text_chunk(property, number, offsets, starts, texts)"
            " VALUES (?, ?, ?, ?, ?)",
            (prop.number, number, offsets, struct.pack(f"<{len(starts)}I", *starts), texts),
        )


def drop(db: sqlite3.Connection, schema: Schema, prop: Property) -> None:
    """Forgets the chunks of a property whose columns are about to go."""
    for name in ("new", "gone", "changed"):
        db.execute(f"DROP TRIGGER IF EXISTS {_trigger(schema, prop, name)}")
    db.execute("DELETE FROM text_chunk WHERE property = ?", (prop.number,))


def _trigger(schema: Schema, prop: Property, name: str) -> str:
    return f"{schema.table}_c{prop.number}_{name}"
