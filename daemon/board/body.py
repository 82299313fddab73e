"""The text that people wrote into a page below its properties, as plain lines. Read only.

Block by block, not the page's Markdown: our own section is known by its block and left out whole. Bounded in
blocks, depth and calls; what is left out is said in the text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from daemon.board import reading
from daemon.board.sections import read_mark
from daemon.board.transport import Transport
from daemon.core import ids
from daemon.core.text import visible

BLOCKS = 400
"""Blocks of a page that are read: some ten screens."""
DEPTH = 3
CALLS = 12
"""Calls that one page may cost: one for each 100 blocks, and one for each block that has children."""
MORE = "[… the page holds more than is read here]"

_BEFORE = {
    "heading_1": "# ",
    "heading_2": "## ",
    "heading_3": "### ",
    "heading_4": "#### ",
    "bulleted_list_item": "- ",
    "numbered_list_item": "1. ",
    "toggle": "- ",
    "quote": "> ",
    "callout": "> ",
}


class _Full(Exception):
    """One of the bounds is reached."""


class _Reader:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._blocks = self._calls = 0

    def lines(self, block_id: str, depth: int = 0) -> Iterator[str]:
        for block in self._children(block_id):
            if read_mark(block) is not None:
                continue
            text = line(block)
            if text:
                yield "\n".join("  " * depth + part for part in text.split("\n"))
            if block.get("has_children") and block.get("type") not in ("child_page", "child_database"):
                if depth + 1 >= DEPTH:
                    raise _Full
                yield from self.lines(str(block["id"]), depth + 1)

    def _children(self, block_id: str) -> Iterator[dict[str, Any]]:
        cursor = ""
        while True:
            if self._calls >= CALLS:
                raise _Full
            self._calls += 1
            more = {"start_cursor": cursor} if cursor else {}
            path = f"blocks/{ids.dashed(ids.normalise(block_id))}/children"
            answer = self._transport.call("body", "GET", path, query={"page_size": 100, **more})
            for block in answer.get("results") or []:
                self._blocks += 1
                if self._blocks > BLOCKS:
                    raise _Full
                if isinstance(block, dict) and "id" in block:
                    yield block
            cursor = str(answer.get("next_cursor") or "")
            if not answer.get("has_more") or not cursor:
                return


def line(block: dict[str, Any]) -> str:
    """One block as text, with Markdown's mark for what it is; "" for what has no text of its own."""
    kind = str(block.get("type"))
    inner = block.get(kind)
    inner = inner if isinstance(inner, dict) else {}
    if kind == "table_row":
        return " | ".join(visible(reading.plain(cell)) for cell in inner.get("cells") or [])
    if kind in ("child_page", "child_database"):
        return f"[{kind.removeprefix('child_')}: {visible(str(inner.get('title') or ''))}]"
    text = visible(reading.plain(inner.get("rich_text"))).strip()
    if not text:
        return ""
    if kind == "to_do":
        return f"- [{'x' if inner.get('checked') else ' '}] {text}"
    if kind == "code":
        return f"```\n{text}\n```"
    return _BEFORE.get(kind, "") + text


def read(transport: Transport, page: str) -> str:
    """The text of the page, one block a line. Raises HandoffdError, NotFound when the page is gone."""
    found: list[str] = []
    try:
        for text in _Reader(transport).lines(page):
            found.append(text)
    except _Full:
        found.append(MORE)
    return "\n".join(found)
