"""Changing a page's content by markdown: insertions, and replacements that leave untouched blocks alone."""

from __future__ import annotations

import difflib
import sqlite3

from daemon.local_board import block_store
from daemon.local_board.board import Call
from daemon.local_board.errors import validation
from daemon.local_board.markdown_parse import parse, spans
from daemon.local_board.markdown_read import Reading

_HELD = ("child_page", "child_database")


def append(call: Call, page_id: str, markdown: str) -> list[str]:
    """Adds the blocks of a text at the end of a page; returns the new topmost ids."""
    return block_store.insert_children(call, "page_id", page_id, parse(markdown), after=None, at_start=False)


def insert(call: Call, page_id: str, markdown: str, *, after: str | None, at_start: bool) -> list[str]:
    """Adds the blocks of a text behind a block, at the start or at the end."""
    return block_store.insert_children(
        call, "page_id", page_id, parse(markdown), after=after, at_start=at_start
    )


def find_range(text: str, selection: str) -> tuple[int, int]:
    """Where a selection stands in the page's markdown: a literal text, or "start...end" for a longer
    stretch.
    """
    at = text.find(selection)
    if at >= 0:
        return at, at + len(selection)
    first, dots, last = selection.partition("...")
    if dots:
        start = text.find(first)
        end = text.find(last, start + len(first)) if start >= 0 else -1
        if end >= 0:
            return start, end + len(last)
    raise validation(f"Could not find the selected content in the page: {selection}")


def block_behind(call: Call, page_id: str, selection: str) -> str:
    """The topmost block in which a selection ends."""
    reading = Reading(call)
    rows = block_store.live_children(call, page_id)
    texts = ["\n".join(reading.block(row, number)) for number, row in _numbered(rows)]
    _, end = find_range("\n".join(texts), selection)
    reached = 0
    for row, text in zip(rows, texts, strict=True):
        reached += len(text) + 1
        if end < reached:
            identifier: str = row["id"]
            return identifier
    raise validation(f"Could not find the selected content in the page: {selection}")


def _numbered(rows: list[sqlite3.Row]) -> list[tuple[int, sqlite3.Row]]:
    out, number = [], 0
    for row in rows:
        number = number + 1 if row["type"] == "numbered_list_item" else 0
        out.append((number, row))
    return out


def rewrite(call: Call, page_id: str, markdown: str, *, may_delete_pages: bool) -> list[str]:
    """Makes a page read as the given markdown.  Topmost blocks whose text did not change keep their ids."""
    reading = Reading(call)
    rows = block_store.live_children(call, page_id)
    old = ["\n".join(reading.block(row, number)).rstrip() for number, row in _numbered(rows)]
    new = spans(markdown)
    matcher = difflib.SequenceMatcher(None, old, [text for text, _ in new], autojunk=False)
    made: list[str] = []
    kept: str | None = None
    for tag, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if tag == "equal":
            kept = rows[old_to - 1]["id"]
            continue
        for row in rows[old_from:old_to]:
            if row["type"] in _HELD and not may_delete_pages:
                raise validation(
                    "The update would delete child pages or databases. Set `allow_deleting_content` to"
                    " allow it."
                )
            block_store.trash_one(call, row)
        blocks = [block for _, block in new[new_from:new_to] if block is not None]
        if blocks:
            fresh = block_store.insert_children(
                call, "page_id", page_id, blocks, after=kept, at_start=kept is None
            )
            made.extend(fresh)
            kept = fresh[-1]
    return made
