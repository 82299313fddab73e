"""Blocks to markdown, in the service's dialect.

Blocks follow each other on single lines, children are indented by tabs (recorded: a heading and a
paragraph read back as "## New Section\\nHello from markdown.").  Blocks without a markdown form become
<unknown …/> elements and are listed in unknown_block_ids.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from daemon.local_board import block_store, tree
from daemon.local_board.board import Call
from daemon.local_board.ids import dashless
from daemon.local_board.markdown_inline import render
from daemon.local_board.richtext import plain
from daemon.local_board.texts import loads


class Reading:
    """One rendering of a page; collects the ids of blocks that have no markdown form."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.unknown: list[str] = []

    def page(self, page_id: str) -> str:
        """The whole content of a page."""
        return "\n".join(self.lines(page_id))

    def lines(self, parent_id: str) -> list[str]:
        """The lines of all children of a page or block."""
        out: list[str] = []
        number = 0
        for row in block_store.live_children(self.call, parent_id):
            number = number + 1 if row["type"] == "numbered_list_item" else 0
            out.extend(self.block(row, number))
        return out

    def block(self, row: sqlite3.Row, number: int = 1) -> list[str]:
        """The lines of one block with its children."""
        body = loads(row["body"])
        special = _SPECIAL.get(row["type"])
        if special is not None:
            return special(self, row, body)
        prefix = _PREFIX.get(row["type"])
        if prefix is None:
            self.unknown.append(row["id"])
            return [f'<unknown url="https://app.notion.com/p/{dashless(row["id"])}" alt="{row["type"]}"/>']
        if row["type"] == "numbered_list_item":
            prefix = f"{number}. "
        elif row["type"] == "to_do":
            prefix = "- [x] " if body["checked"] else "- [ ] "
        text = render(body["rich_text"]) + _attributes(row["type"], body)
        if not text and row["type"] == "paragraph":
            text = "<empty-block/>"
        return [prefix + text, *self.indented(row["id"])]

    def indented(self, parent_id: str) -> list[str]:
        """The children's lines, one tab in."""
        return ["\t" + line for line in self.lines(parent_id)]


_PREFIX = {
    "paragraph": "",
    "heading_1": "# ",
    "heading_2": "## ",
    "heading_3": "### ",
    "heading_4": "#### ",
    "bulleted_list_item": "- ",
    "numbered_list_item": "1. ",
    "to_do": "- [ ] ",
    "quote": "> ",
}


def _attributes(kind: str, body: dict[str, Any]) -> str:
    out = []
    if kind.startswith("heading_") and body.get("is_toggleable"):
        out.append('toggle="true"')
    if body.get("color", "default") != "default":
        out.append(f'color="{body["color"].replace("_background", "_bg")}"')
    return " {" + " ".join(out) + "}" if out else ""


def _code(reading: Reading, row: sqlite3.Row, body: dict[str, Any]) -> list[str]:
    language = "" if body["language"] == "plain text" else body["language"]
    return [f"```{language}", *plain(body["rich_text"]).split("\n"), "```"]


def _divider(reading: Reading, row: sqlite3.Row, body: dict[str, Any]) -> list[str]:
    return ["---"]


def _equation(reading: Reading, row: sqlite3.Row, body: dict[str, Any]) -> list[str]:
    return ["$$", *body["expression"].split("\n"), "$$"]


def _toggle(reading: Reading, row: sqlite3.Row, body: dict[str, Any]) -> list[str]:
    return [
        "<details>",
        f"<summary>{render(body['rich_text'])}</summary>",
        *reading.indented(row["id"]),
        "</details>",
    ]


def _callout(reading: Reading, row: sqlite3.Row, body: dict[str, Any]) -> list[str]:
    icon = body["icon"].get("emoji") if body.get("icon") else None
    color = body["color"].replace("_background", "_bg")
    start = (
        "<callout"
        + (f' icon="{icon}"' if icon else "")
        + (f' color="{color}"' if color != "default" else "")
        + ">"
    )
    return [start, "\t" + render(body["rich_text"]), *reading.indented(row["id"]), "</callout>"]


def _table(reading: Reading, row: sqlite3.Row, body: dict[str, Any]) -> list[str]:
    header = ' header-row="true"' if body["has_column_header"] else ""
    header += ' header-column="true"' if body["has_row_header"] else ""
    out = [f"<table{header}>"]
    for line in block_store.live_children(reading.call, row["id"]):
        out.append("<tr>")
        out.extend(f"<td>{render(cell)}</td>" for cell in loads(line["body"])["cells"])
        out.append("</tr>")
    return [*out, "</table>"]


def _columns(reading: Reading, row: sqlite3.Row, body: dict[str, Any]) -> list[str]:
    out = ["<columns>"]
    for column in block_store.live_children(reading.call, row["id"]):
        out.extend(["\t<column>", *("\t" + line for line in reading.indented(column["id"])), "\t</column>"])
    return [*out, "</columns>"]


def _source(reading: Reading, row: sqlite3.Row) -> tuple[str, str]:
    shown = block_store.block_object(reading.call, row, trashed=False)[row["type"]]
    return shown[shown["type"]]["url"], render(shown.get("caption", []))


def _image(reading: Reading, row: sqlite3.Row, body: dict[str, Any]) -> list[str]:
    url, caption = _source(reading, row)
    return [f"![{caption}]({url})"]


def _media(reading: Reading, row: sqlite3.Row, body: dict[str, Any]) -> list[str]:
    url, caption = _source(reading, row)
    return [f'<{row["type"]} src="{url}">{caption}</{row["type"]}>']


def _bookmark(reading: Reading, row: sqlite3.Row, body: dict[str, Any]) -> list[str]:
    caption = render(body.get("caption") or [])
    return [f"[{caption or body['url']}]({body['url']})"]


def _child_page(reading: Reading, row: sqlite3.Row, body: dict[str, Any]) -> list[str]:
    title = tree.need_page(reading.call, row["id"])["title"]
    return [f'<page url="https://app.notion.com/p/{dashless(row["id"])}">{title}</page>']


def _child_database(reading: Reading, row: sqlite3.Row, body: dict[str, Any]) -> list[str]:
    database = tree.need_database(reading.call, row["id"])
    inline = "true" if database["is_inline"] else "false"
    url = f"https://app.notion.com/p/{dashless(row['id'])}"
    return [f'<database url="{url}" inline="{inline}">{plain(loads(database["title"]))}</database>']


def _contents(reading: Reading, row: sqlite3.Row, body: dict[str, Any]) -> list[str]:
    return ["<table_of_contents/>"]


_SPECIAL: dict[str, Callable[[Reading, sqlite3.Row, dict[str, Any]], list[str]]] = {
    "code": _code,
    "divider": _divider,
    "equation": _equation,
    "toggle": _toggle,
    "callout": _callout,
    "table": _table,
    "column_list": _columns,
    "image": _image,
    "video": _media,
    "audio": _media,
    "file": _media,
    "pdf": _media,
    "bookmark": _bookmark,
    "embed": _bookmark,
    "child_page": _child_page,
    "child_database": _child_database,
    "table_of_contents": _contents,
}
