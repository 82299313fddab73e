"""Markdown to blocks, in the form that an append takes.

Understands what markdown_read.py writes and the usual GitHub forms: ATX headings, nested lists by
indentation, task lists, quotes, fences, dividers, pipe tables, images, block equations, <details>,
<callout>, <table> and <columns>.
"""

from __future__ import annotations

import re
from typing import Any

from daemon.local_board import code_languages
from daemon.local_board.errors import validation
from daemon.local_board.markdown_inline import parse as inline
from daemon.local_board.markdown_inline import pieces

_HEADING = re.compile(r"(#{1,6})\s+(.*?)(?:\s+#+)?\Z")
_TASK = re.compile(r"[-*+]\s+\[([ xX])\](?:\s+(.*))?\Z")
_BULLET = re.compile(r"[-*+]\s+(.*)\Z")
_NUMBER = re.compile(r"\d{1,9}[.)]\s+(.*)\Z")
_FENCE = re.compile(r"(`{3,}|~{3,})\s*(.*?)\s*\Z")
_RULE = re.compile(r"(?:-\s*){3,}\Z|(?:\*\s*){3,}\Z|(?:_\s*){3,}\Z")
_IMAGE = re.compile(r"!\[(.*)\]\((\S+?)\)\Z")
_MEDIA = re.compile(r'<(video|audio|file|pdf)\s+src="([^"]+)"[^>]*>(.*?)</\1>\Z')
_TABLE_RULE = re.compile(r"\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\Z")
_ATTRIBUTES = re.compile(r"\s*\{((?:\s*[a-z]+=\"[^\"]*\")+)\s*\}\Z")
_CELL = re.compile(r"<td[^>]*>(.*?)</td>", re.DOTALL)
_ROW = re.compile(r"<tr[^>]*>(.*?)</tr>", re.DOTALL)
_TAB_WIDTH = 4
DEPTH_LIMIT = 100
"""Levels of nesting; far more than a person writes, and few enough for every walk over blocks."""


def parse(markdown: str) -> list[dict[str, Any]]:
    """Blocks of a markdown text, nested as deep as it is."""
    return [block for _, block in spans(markdown) if block is not None]


def spans(markdown: str) -> list[tuple[str, dict[str, Any] | None]]:
    """The topmost blocks of a text, each with the lines that it was read from (None: an element kept
    elsewhere).
    """
    try:
        out = _spans(markdown.replace("\r\n", "\n").split("\n"))
        too_deep = max((_depth(block) for _, block in out if block is not None), default=0) > DEPTH_LIMIT
    except RecursionError:
        too_deep = True
    if too_deep:
        raise validation(f"The content is nested more than {DEPTH_LIMIT} levels deep.")
    return out


def _depth(block: dict[str, Any]) -> int:
    return 1 + max((_depth(child) for child in block.get("children", [])), default=0)


def _spans(lines: list[str]) -> list[tuple[str, dict[str, Any] | None]]:
    out: list[tuple[str, dict[str, Any] | None]] = []
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        block, end = _one(lines, at)
        out.append(("\n".join(lines[at:end]).rstrip(), block))
        at = end
    return out


def _indent(line: str) -> int:
    lead = line[: len(line) - len(line.lstrip(" \t"))]
    return len(lead.expandtabs(_TAB_WIDTH))


def _blocks(lines: list[str]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        block, at = _one(lines, at)
        if block is not None:
            out.append(block)
    return out


def _one(lines: list[str], at: int) -> tuple[dict[str, Any] | None, int]:
    """The block that starts at a line, and the line behind it."""
    text = lines[at].strip()
    for reader in (_fenced, _equation, _element, _pipe_table):
        found = reader(lines, at)
        if found is not None:
            return found
    simple = _simple(text)
    if simple is not None:
        return simple, at + 1
    kind, content, extra = _marked(text)
    end = _end_of_children(lines, at)
    children = _blocks(lines[at + 1 : end])
    content, attributes = _split_attributes(content)
    body: dict[str, Any] = {"rich_text": inline(content), **extra, **attributes}
    if kind.startswith("heading_") and children and not body.get("is_toggleable"):
        return _block(kind, body), at + 1
    return _block(kind, body, children), end


def _block(kind: str, body: dict[str, Any], children: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    out: dict[str, Any] = {"type": kind, kind: body}
    if children:
        out["children"] = children
    return out


def _end_of_children(lines: list[str], at: int) -> int:
    """The first line behind a block that is not indented below it."""
    base = _indent(lines[at])
    end = at + 1
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > base):
        end += 1
    return end


def _marked(text: str) -> tuple[str, str, dict[str, Any]]:
    """(type, text, further members) of a block that is one marked line."""
    if match := _HEADING.match(text):
        return f"heading_{min(len(match.group(1)), 4)}", match.group(2), {}
    if match := _TASK.match(text):
        return "to_do", match.group(2) or "", {"checked": match.group(1) in "xX"}
    if match := _BULLET.match(text):
        return "bulleted_list_item", match.group(1), {}
    if match := _NUMBER.match(text):
        return "numbered_list_item", match.group(1), {}
    if text.startswith(">"):
        return "quote", text[1:].strip(), {}
    return "paragraph", text, {}


def _split_attributes(content: str) -> tuple[str, dict[str, Any]]:
    match = _ATTRIBUTES.search(content)
    if match is None:
        return content, {}
    out: dict[str, Any] = {}
    for name, value in re.findall(r'([a-z]+)="([^"]*)"', match.group(1)):
        if name == "color":
            out["color"] = re.sub("_bg$", "_background", value)
        elif name == "toggle":
            out["is_toggleable"] = value == "true"
    return content[: match.start()], out


def _simple(text: str) -> dict[str, Any] | None:
    if _RULE.match(text):
        return _block("divider", {})
    if text == "<empty-block/>":
        return _block("paragraph", {"rich_text": []})
    if text == "<table_of_contents/>":
        return _block("table_of_contents", {})
    if match := _IMAGE.match(text):
        caption = inline(match.group(1))
        return _block("image", {"caption": caption, "external": {"url": match.group(2)}})
    if match := _MEDIA.match(text):
        caption = inline(match.group(3))
        return _block(match.group(1), {"caption": caption, "external": {"url": match.group(2)}})
    return None


def _fenced(lines: list[str], at: int) -> tuple[dict[str, Any], int] | None:
    match = _FENCE.match(lines[at].strip())
    if match is None or "`" in match.group(2):
        return None
    lead = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    end = at + 1
    while end < len(lines) and lines[end].strip() != match.group(1):
        end += 1
    inside = [line.removeprefix(lead) for line in lines[at + 1 : end]]
    language = code_languages.of_fence(match.group(2).split()[0] if match.group(2) else "")
    text = [{"text": {"content": piece}} for piece in pieces("\n".join(inside)) if piece]
    return _block("code", {"rich_text": text, "language": language}), end + 1


def _equation(lines: list[str], at: int) -> tuple[dict[str, Any], int] | None:
    if lines[at].strip() != "$$":
        return None
    end = at + 1
    while end < len(lines) and lines[end].strip() != "$$":
        end += 1
    expression = "\n".join(line.strip() for line in lines[at + 1 : end])
    return _block("equation", {"expression": expression}), end + 1


def _pipe_cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|")
    inner = inner[:-1] if inner.endswith("|") and not inner.endswith("\\|") else inner
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", inner)]


def _pipe_table(lines: list[str], at: int) -> tuple[dict[str, Any], int] | None:
    if "|" not in lines[at] or at + 1 >= len(lines):
        return None
    rule = lines[at + 1].strip()
    if "|" not in rule and not rule.startswith((":", "-")):
        return None
    if not _TABLE_RULE.match(rule) or len(_pipe_cells(rule)) != len(_pipe_cells(lines[at])):
        return None
    end = at + 2
    while end < len(lines) and "|" in lines[end]:
        end += 1
    rows = [_pipe_cells(line) for line in [lines[at], *lines[at + 2 : end]]]
    return _table(rows, header_row=True, header_column=False), end


def _table(rows: list[list[str]], *, header_row: bool, header_column: bool) -> dict[str, Any]:
    width = max((len(row) for row in rows), default=1) or 1
    children = [
        _block("table_row", {"cells": [inline(cell) for cell in (row + [""] * width)[:width]]})
        for row in rows
    ]
    body = {"table_width": width, "has_column_header": header_row, "has_row_header": header_column}
    return _block("table", body, children)


def _until(lines: list[str], at: int, name: str) -> int:
    """The line that closes the element opened at a line, nested ones skipped; the last line when none
    does.
    """
    depth = 0
    for end in range(at, len(lines)):
        depth += len(re.findall(rf"<{name}[\s>]", lines[end])) - lines[end].count(f"</{name}>")
        if depth <= 0:
            return end
    return len(lines) - 1


def _element(lines: list[str], at: int) -> tuple[dict[str, Any] | None, int] | None:
    text = lines[at].strip()
    match = re.match(r"<(details|callout|table|columns|column|page|database|unknown)\b([^>]*)>", text)
    if match is None:
        return None
    name, attributes = match.group(1), match.group(2)
    if name in ("page", "database", "unknown"):
        # Subpages and databases are no content that markdown can make; they stay where they are.
        return None, at + 1
    end = _until(lines, at, name)
    inside = lines[at + 1 : end]
    if name == "details":
        return _details(text[match.end() :], inside), end + 1
    if name == "callout":
        return _callout(attributes, inside), end + 1
    if name == "table":
        rows = [_CELL.findall(row) for row in _ROW.findall("\n".join(lines[at : end + 1]))]
        header = 'header-row="true"' in attributes
        return _table(rows, header_row=header, header_column='header-column="true"' in attributes), end + 1
    if name == "columns":
        return _block("column_list", {}, _blocks(inside)), end + 1
    return _block("column", {}, _blocks(inside)), end + 1


def _details(rest: str, inside: list[str]) -> dict[str, Any]:
    joined = [rest, *inside]
    summary = ""
    for index, line in enumerate(joined):
        if match := re.search(r"<summary>(.*?)</summary>", line):
            summary = match.group(1)
            joined = joined[index + 1 :]
            break
    return _block("toggle", {"rich_text": inline(summary)}, _blocks(joined))


def _callout(attributes: str, inside: list[str]) -> dict[str, Any]:
    body: dict[str, Any] = {"rich_text": []}
    if match := re.search(r'icon="([^"]+)"', attributes):
        body["icon"] = {"type": "emoji", "emoji": match.group(1)}
    if match := re.search(r'color="([a-z_]+)"', attributes):
        body["color"] = re.sub("_bg$", "_background", match.group(1))
    blocks = _blocks(inside)
    if blocks and blocks[0]["type"] == "paragraph" and "children" not in blocks[0]:
        body["rich_text"] = blocks[0]["paragraph"]["rich_text"]
        blocks = blocks[1:]
    return _block("callout", body, blocks)
