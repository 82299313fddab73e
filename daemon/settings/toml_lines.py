"""On which line each key of a TOML text stands. tomllib parses, but keeps no positions.

Only for texts that tomllib has accepted: what is wrong there is its to say.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]


def line_numbers(text: str) -> dict[Path, int]:
    """Path of every key and table → its line, counted from 1. Tables in an array have their index in the
    path; keys inside an inline table are not listed (they stand where their parent stands)."""
    out: dict[Path, int] = {}
    arrays: dict[Path, int] = {}
    table: Path = ()
    for start, head, is_header in _statements(text):
        line = text.count("\n", 0, start) + 1
        if is_header:
            double = head.startswith("[[")
            keys = _keys(tomllib.loads(head.strip("[] \t") + " = 0"))
            parent = _indexed(keys[:-1], arrays)
            table = (*parent, keys[-1])
            if double:
                arrays[table] = arrays.get(table, -1) + 1
                out.setdefault(table, line)
            table = _indexed(table, arrays) if double else table
            out.setdefault(table, line)
        else:
            out.setdefault((*table, *_keys(tomllib.loads(head + " = 0"))), line)
    return out


def _indexed(keys: Path, arrays: dict[Path, int]) -> Path:
    done: Path = ()
    for key in keys:
        done = (*done, key)
        if done in arrays:
            done = (*done, str(arrays[done]))
    return done


def _keys(nested: Any) -> Path:
    keys = []
    while isinstance(nested, dict):
        key, nested = next(iter(nested.items()))
        keys.append(key)
    return tuple(keys)


def _statements(text: str) -> Iterator[tuple[int, str, bool]]:
    """(offset, header or key text, is it a header) of each statement."""
    at, end = 0, len(text)
    while at < end:
        if text[at] in " \t\r\n":
            at += 1
        elif text[at] == "#":
            at = _line_end(text, at)
        elif text[at] == "[":
            stop = _skip(text, at, until="\n#")
            yield at, text[at:stop].rstrip(), True
            at = _line_end(text, stop)
        else:
            stop = _skip(text, at, until="=")
            yield at, text[at:stop].rstrip(), False
            at = _skip(text, stop + 1, until="\n")


def _line_end(text: str, at: int) -> int:
    found = text.find("\n", at)
    return len(text) if found < 0 else found


def _skip(text: str, at: int, until: str) -> int:
    """Offset of the first of ``until`` outside of strings, comments and brackets; else the end."""
    depth = 0
    while at < len(text):
        char = text[at]
        if depth == 0 and char in until:
            return at
        if char in "\"'":
            at = _string_end(text, at)
            continue
        if char == "#":
            at = _line_end(text, at)
            continue
        depth += (char in "[{") - (char in "]}")
        at += 1
    return at


def _string_end(text: str, at: int) -> int:
    quote = text[at]
    mark = quote * 3 if text.startswith(quote * 3, at) else quote
    at += len(mark)
    while not text.startswith(mark, at):
        at += 2 if quote == '"' and text[at] == "\\" else 1
    at += len(mark)
    while len(mark) == 3 and text.startswith(quote, at):
        at += 1  # up to two quotes may stand right before the closing three
    return at
