"""Markdown → Notion blocks: the part of Markdown that our reports and drafts use. Pure.

Headings, lists (nesting flattened), to-dos, quotes, fenced code, tables, rules, paragraphs; bold, italic,
code and http links inline. Anything else stays as the text that it is. Limits of the API are kept: 2,000
UTF-16 units a run, 100 runs a block, 100 rows a table; what is left out is marked.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from daemon.core.text import RUN_UNITS, chunks

MAX_BLOCKS = 100
"""Blocks that one request may carry in one list (Notion API limit)."""

MAX_NESTED = 900
"""Blocks of one request, nested ones counted; the API's limit is 1,000."""

MAX_BYTES = 400_000
"""Of one request's blocks as JSON; the API's limit for a whole request is 500 kB."""

MAX_RUNS = 100

Block = dict[str, Any]

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"\s*(`{3,}|~{3,})\s*([A-Za-z0-9+#._-]*)")
_RULE = re.compile(r"\s*(?:-{3,}|\*{3,}|_{3,})\s*$")
_TODO = re.compile(r"\s*[-*+]\s+\[([ xX])\]\s+(.*)$")
_BULLET = re.compile(r"\s*[-*+]\s+(.*)$")
_NUMBER = re.compile(r"\s*\d{1,9}[.)]\s+(.*)$")
_QUOTE = re.compile(r"\s*>\s?(.*)$")
_DELIMITER = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_CELL = re.compile(r"(?<!\\)\|")
_INLINE = re.compile(
    r"(?P<escape>\\[\\`*_{}\[\]()<>#+\-.!|~&])"
    r"|(?P<ticks>`+)(?P<code>.+?)(?<!`)(?P=ticks)(?!`)"
    r"|\*\*(?P<bold>(?:\\.|[^*\\])+)\*\*"
    r"|(?<![\w*])[*_](?P<italic>(?:\\.|[^*_\\])+)[*_](?![\w*])"
    r"|\[(?P<label>(?:\\.|[^\]\\])*)\]\((?P<link>https?://[^\s()<>]+)\)",
    re.DOTALL,
)
_LANGUAGES = frozenset(
    {"bash", "css", "diff", "docker", "html", "java", "javascript", "json", "makefile", "markdown"}
    | {"powershell", "python", "shell", "sql", "typescript", "xml", "yaml"}
)
"""Of the languages that Notion knows, those that appear in reports; it refuses any other name."""


def blocks(text: str) -> list[Block]:
    """All blocks of a Markdown text, in order."""
    return list(_blocks(text.replace("\r\n", "\n").split("\n")))


def bounded(made: Sequence[Block], room: int = MAX_BYTES) -> list[Block]:
    """As much as one request carries, in ``room`` bytes; what is left out is said in the last block."""
    first = next(iter(parts(made, room)), [])
    if len(first) == len(made):
        return first
    kept = first[: MAX_BLOCKS - 1]
    return [*kept, _block("paragraph", f"[… {len(made) - len(kept)} more blocks are left out here]")]


def parts(made: Sequence[Block], room: int = MAX_BYTES) -> list[list[Block]]:
    """The blocks in order, in groups that one request each can carry. A block that no request can carry is
    replaced by a line that says so."""
    out: list[list[Block]] = []
    count, size = MAX_NESTED, room
    for block in made:
        blocks_in, bytes_in = _extent(block)
        if bytes_in > room or blocks_in > MAX_NESTED:
            block = _block("paragraph", f"[… a {block['type']} of {bytes_in // 1000} kB is left out here]")
            blocks_in, bytes_in = _extent(block)
        if not out or len(out[-1]) >= MAX_BLOCKS or count + blocks_in > MAX_NESTED or size + bytes_in > room:
            out.append([])
            count = size = 0
        out[-1].append(block)
        count, size = count + blocks_in, size + bytes_in
    return out


def _extent(block: Block) -> tuple[int, int]:
    """Blocks, nested ones too, and bytes of JSON."""
    nested = block[block["type"]].get("children") or ()
    return 1 + len(nested), len(json.dumps(block, ensure_ascii=False).encode())


def rich(text: str) -> list[Block]:
    """Inline Markdown as rich-text runs, within the API's limits."""
    made = [run for part in _inline(text) for run in part]
    if len(made) > MAX_RUNS:
        rest = "".join(run["text"]["content"] for run in made[MAX_RUNS - 1 :])
        made = [*made[: MAX_RUNS - 1], *_runs(chunks(rest, RUN_UNITS - 10)[0] + " […]")[:1]]
    return made


def _blocks(lines: list[str]) -> Iterator[Block]:
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
        elif fence := _FENCE.match(line):
            at, block = _code(lines, at, fence)
            yield block
        elif at + 1 < len(lines) and "|" in line and "|" in lines[at + 1] and _DELIMITER.match(lines[at + 1]):
            at, block = _table(lines, at)
            yield block
        elif single := _single(line):
            yield single
            at += 1
        else:
            end = at + 1
            while end < len(lines) and lines[end].strip() and not _starts_block(lines[end]):
                end += 1
            yield _block("paragraph", "\n".join(part.strip() for part in lines[at:end]))
            at = end


def _starts_block(line: str) -> bool:
    return bool(_FENCE.match(line) or _single(line))


def _single(line: str) -> Block | None:
    """The block that one line makes by itself; None for a paragraph's line."""
    if heading := _HEADING.match(line):
        return _block(f"heading_{min(3, len(heading[1]))}", heading[2])
    if _RULE.match(line):
        return {"type": "divider", "divider": {}}
    if todo := _TODO.match(line):
        block = _block("to_do", todo[2])
        block["to_do"]["checked"] = todo[1] != " "
        return block
    if bullet := _BULLET.match(line):
        return _block("bulleted_list_item", bullet[1])
    if number := _NUMBER.match(line):
        return _block("numbered_list_item", number[1])
    if quote := _QUOTE.match(line):
        return _block("quote", quote[1])
    return None


def _code(lines: list[str], at: int, fence: re.Match[str]) -> tuple[int, Block]:
    end = at + 1
    while end < len(lines) and not re.match(rf"\s*{re.escape(fence[1])}+\s*$", lines[end]):
        end += 1
    language = fence[2].lower() if fence[2].lower() in _LANGUAGES else "plain text"
    made = _runs("\n".join(lines[at + 1 : end]))
    if len(made) > MAX_RUNS:
        made = [*made[: MAX_RUNS - 1], *_runs("[… the rest is left out here]")]
    return end + 1, {"type": "code", "code": {"rich_text": made, "language": language}}


def _table(lines: list[str], at: int) -> tuple[int, Block]:
    head = _cells(lines[at])
    rows = [head]
    end = at + 2
    while end < len(lines) and "|" in lines[end] and lines[end].strip():
        rows.append((_cells(lines[end]) + [""] * len(head))[: len(head)])
        end += 1
    if len(rows) > MAX_BLOCKS:
        left = len(rows) - MAX_BLOCKS + 1
        rows = [*rows[: MAX_BLOCKS - 1], [f"[… {left} more rows]"] + [""] * (len(head) - 1)]
    children = [{"type": "table_row", "table_row": {"cells": [rich(cell) for cell in row]}} for row in rows]
    table = {
        "table_width": len(head),
        "has_column_header": True,
        "has_row_header": False,
        "children": children,
    }
    return end, {"type": "table", "table": table}


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|")
    if inner.endswith("|") and not inner.endswith("\\|"):
        inner = inner[:-1]
    return [cell.strip() for cell in _CELL.split(inner)]


def _block(kind: str, text: str) -> Block:
    return {"type": kind, kind: {"rich_text": rich(text)}}


def _inline(text: str, **marks: bool) -> Iterator[list[Block]]:
    at = 0
    plain = ""
    for match in _INLINE.finditer(text):
        plain += html.unescape(text[at : match.start()])
        at = match.end()
        if match["escape"]:
            plain += match["escape"][1]
            continue
        if plain:
            yield _runs(plain, marks)
            plain = ""
        if match["code"] is not None:
            yield _runs(match["code"].strip() or match["code"], {**marks, "code": True})
        elif match["bold"] is not None:
            yield from _inline(match["bold"], **{**marks, "bold": True})
        elif match["italic"] is not None:
            yield from _inline(match["italic"], **{**marks, "italic": True})
        else:
            label = "".join(r["text"]["content"] for part in _inline(match["label"]) for r in part)
            yield _runs(label or match["link"], marks, match["link"])
    plain += html.unescape(text[at:])
    if plain:
        yield _runs(plain, marks)


def _runs(text: str, marks: dict[str, bool] | None = None, link: str = "") -> list[Block]:
    out: list[Block] = []
    for part in chunks(text):
        run: Block = {"type": "text", "text": {"content": part}}
        if link and len(link) <= RUN_UNITS:
            run["text"]["link"] = {"url": link}
        if marks:
            run["annotations"] = dict(marks)
        out.append(run)
    return out
