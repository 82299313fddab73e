"""Block types: what may be written below each type's member, and its normal form.

Limits (documented): 100 children an array, two levels of children in one request, 1,000 blocks a request.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from daemon.local_board import code_languages, files, richtext, shapes
from daemon.local_board.errors import validation

NESTING_LIMIT = 2
BLOCK_LIMIT = 1000

_TEXT = {"rich_text": richtext.check}
_COLOR = {"color": shapes.enum(*richtext.TEXT_COLORS)}
_ICON = {"icon": files.check_icon}
_MEDIA: dict[str, shapes.Check] = {
    "external": shapes.obj({"url": shapes.string(2000)}, ("url",)),
    "file_upload": shapes.obj({"id": shapes.uuid}, ("id",)),
}
"""Where a media block's file may come from.  A hosted file, as blocks are read, cannot be written."""

_captioned = {"type": shapes.anything, "caption": richtext.check, "name": shapes.string()}
_media = shapes.one_member({name: {name: inner, **_captioned} for name, inner in _MEDIA.items()})
_media_update = shapes.obj({**_captioned, **_MEDIA})
_heading = {**_TEXT, **_COLOR, "is_toggleable": shapes.boolean}
_link = {"url": shapes.string(2000), "caption": richtext.check}
_link_to_page = shapes.union(
    dict.fromkeys(("page_id", "database_id", "data_source_id", "comment_id"), shapes.uuid)
)

_FIELDS: dict[str, tuple[dict[str, shapes.Check], tuple[str, ...]]] = {
    "embed": (_link, ("url",)),
    "bookmark": (_link, ("url",)),
    "code": (
        {**_TEXT, "language": shapes.enum(*code_languages.LANGUAGES), "caption": richtext.check},
        ("rich_text", "language"),
    ),
    "equation": ({"expression": shapes.string(richtext.EQUATION_LIMIT)}, ("expression",)),
    "divider": ({}, ()),
    "breadcrumb": ({}, ()),
    "tab": ({}, ()),
    "table_of_contents": (_COLOR, ()),
    "table_row": ({"cells": shapes.array(richtext.check)}, ("cells",)),
    "table": (
        {
            "table_width": shapes.integer(1),
            "has_column_header": shapes.boolean,
            "has_row_header": shapes.boolean,
        },
        ("table_width",),
    ),
    "column_list": ({}, ()),
    "column": ({"width_ratio": shapes.number}, ()),
    "heading_1": (_heading, ("rich_text",)),
    "heading_2": (_heading, ("rich_text",)),
    "heading_3": (_heading, ("rich_text",)),
    "heading_4": (_heading, ("rich_text",)),
    "paragraph": ({**_TEXT, **_COLOR, **_ICON}, ("rich_text",)),
    "bulleted_list_item": ({**_TEXT, **_COLOR}, ("rich_text",)),
    "numbered_list_item": (
        {**_TEXT, **_COLOR, "list_start_index": shapes.anything, "list_format": shapes.anything},
        ("rich_text",),
    ),
    "quote": ({**_TEXT, **_COLOR}, ("rich_text",)),
    "to_do": ({**_TEXT, **_COLOR, "checked": shapes.boolean}, ("rich_text",)),
    "toggle": ({**_TEXT, **_COLOR}, ("rich_text",)),
    "template": (_TEXT, ("rich_text",)),
    "callout": ({**_TEXT, **_COLOR, **_ICON}, ("rich_text",)),
    "synced_block": (
        {"synced_from": shapes.nullable(shapes.union({"block_id": shapes.uuid}))},
        ("synced_from",),
    ),
}
_READ_ONLY: dict[str, shapes.Check] = dict.fromkeys(
    ("has_children", "in_trash", "archived", "id", "parent", "created_time", "last_edited_time", "created_by",
     "last_edited_by"),
    shapes.anything,
)  # fmt: skip
"""Members of a block as served, taken and ignored when it is written (recorded)."""

MEDIA_TYPES = ("image", "video", "pdf", "file", "audio")
WITH_CHILDREN = frozenset(
    {
        "heading_1", "heading_2", "heading_3", "heading_4", "paragraph", "bulleted_list_item",
        "numbered_list_item", "quote", "to_do", "toggle", "template", "callout", "synced_block", "table",
        "column_list", "column", "tab",
    }
)  # fmt: skip
NEEDS_CHILDREN = frozenset({"table", "column_list"})
TYPES = (
    "embed", "bookmark", *MEDIA_TYPES, "code", "equation", "divider", "breadcrumb", "tab",
    "table_of_contents", "link_to_page", "table_row", "table", "column_list", "column", "heading_1",
    "heading_2", "heading_3", "heading_4", "paragraph", "bulleted_list_item", "numbered_list_item", "quote",
    "to_do", "toggle", "template", "callout", "synced_block",
)  # fmt: skip
"""Block types that can be written, in the order in which a refusal lists them (the published schema)."""


def type_of(block: dict[str, Any]) -> str | None:
    """The type of a written block: its `type`, else the type member that it carries."""
    return next((name for name in TYPES if name in block), None)


def check_body(kind: str, *, level: int, update: bool) -> shapes.Check:
    """The check of what stands below a block's type.  level: 1 for blocks in the request's own array."""
    if kind in MEDIA_TYPES:
        return _media_update if update else _media
    if kind == "link_to_page":
        return _link_to_page
    fields, required = _FIELDS[kind]
    fields = dict(fields)
    if kind in WITH_CHILDREN and not update and level <= NESTING_LIMIT:
        fields["children"] = _children(level + 1)
    if kind in NEEDS_CHILDREN and not update:
        required = (*required, "children")
    return shapes.obj(fields, () if update else required)


def _form(kind: str, level: int) -> dict[str, shapes.Check]:
    fields = {
        kind: check_body(kind, level=level, update=False),
        "type": shapes.enum(kind),
        "object": shapes.enum("block"),
        **_READ_ONLY,
    }
    if kind in WITH_CHILDREN and level <= NESTING_LIMIT:
        fields["children"] = _children(level + 1)
    return fields


@functools.cache
def _children(level: int) -> shapes.Check:
    return shapes.array(shapes.one_member({kind: _form(kind, level) for kind in TYPES}))


def check_children(value: Any, path: shapes.Path) -> list[shapes.Problem]:
    """`children` of an append or of a new page."""
    if problems := _children(1)(value, path):
        return problems
    if count(value) > BLOCK_LIMIT:
        return shapes.wrong((*path, "length"), count(value), f"≤ `{BLOCK_LIMIT}`")
    return []


def check_content(blocks: list[dict[str, Any]]) -> None:
    """What the service finds out about checked blocks only while it makes them, in its words (reported)."""
    problems = dict.fromkeys(problem for block in walk(blocks) for problem in _content_problems(block))
    if problems:
        raise validation("Content creation Failed. Fix the following: \n" + "\n".join(problems))


def _content_problems(block: dict[str, Any]) -> Iterator[str]:
    kind = type_of(block) or ""
    body = block[kind]
    if any(not richtext.is_link(url) for url in richtext.links(body.get("rich_text", []))):
        yield "Invalid URL for link."
    if kind == "image" and "external" in body and not richtext.is_web(body["external"]["url"]):
        yield "Invalid image url."
    if kind == "table" and any(
        len(row["table_row"]["cells"]) != body["table_width"]
        for row in children_of(block)
        if "table_row" in row
    ):
        yield "Number of cells in table row must match the table width of the parent table"


def children_of(block: dict[str, Any]) -> list[dict[str, Any]]:
    """The children written with a block, in either of the two places that the API takes."""
    kind = type_of(block) or ""
    inside = block[kind].get("children") if isinstance(block.get(kind), dict) else None
    children: list[dict[str, Any]] = block.get("children") or inside or []
    return children


def walk(blocks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Every written block, depth first."""
    for block in blocks:
        yield block
        yield from walk(children_of(block))


def count(blocks: list[dict[str, Any]]) -> int:
    """Number of written blocks on all levels."""
    return sum(1 for _ in walk(blocks))


def _text_color(body: dict[str, Any]) -> dict[str, Any]:
    return {"rich_text": richtext.normalise(body.get("rich_text", [])), "color": body.get("color", "default")}


def _normal_paragraph(body: dict[str, Any]) -> dict[str, Any]:
    """Paragraphs have an icon since June 2026: that of a tab (recorded: null elsewhere)."""
    icon = files.stored(body["icon"]) if body.get("icon") else None
    text = richtext.normalise(body.get("rich_text", []))
    return {"rich_text": text, "icon": icon, "color": body.get("color", "default")}


def _normal_heading(body: dict[str, Any]) -> dict[str, Any]:
    text = richtext.normalise(body.get("rich_text", []))
    return {
        "rich_text": text,
        "is_toggleable": body.get("is_toggleable", False),
        "color": body.get("color", "default"),
    }


def _normal_callout(body: dict[str, Any]) -> dict[str, Any]:
    icon = files.stored(body["icon"]) if body.get("icon") else {"type": "emoji", "emoji": "💡"}
    text = richtext.normalise(body.get("rich_text", []))
    return {"rich_text": text, "icon": icon, "color": body.get("color", "default")}


def _normal_media(body: dict[str, Any]) -> dict[str, Any]:
    kind = next(name for name in _MEDIA if name in body)
    out = {"caption": richtext.normalise(body.get("caption", [])), "type": kind, kind: body[kind]}
    if "name" in body:
        out["name"] = body["name"]
    return out


def _normal_file(body: dict[str, Any]) -> dict[str, Any]:
    """A file block always has a name; an external file's is the end of its URL (recorded)."""
    out = _normal_media(body)
    if "name" not in out and out["type"] == "external":
        parts = urlsplit(str(out["external"]["url"]))
        out["name"] = unquote(parts.path.rsplit("/", 1)[-1]) or parts.netloc
    return out


def _normal_link_to_page(body: dict[str, Any]) -> dict[str, Any]:
    kind = next(
        (name for name in ("page_id", "database_id", "data_source_id", "comment_id") if name in body),
        "page_id",
    )
    return {"type": kind, kind: body.get(kind)}


_NORMAL: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    **dict.fromkeys(("bulleted_list_item", "numbered_list_item", "quote", "toggle"), _text_color),
    "paragraph": _normal_paragraph,
    **dict.fromkeys(("heading_1", "heading_2", "heading_3", "heading_4"), _normal_heading),
    **dict.fromkeys(MEDIA_TYPES, _normal_media),
    "file": _normal_file,
    "callout": _normal_callout,
    "link_to_page": _normal_link_to_page,
    "to_do": lambda body: {
        "rich_text": richtext.normalise(body.get("rich_text", [])),
        "checked": body.get("checked", False),
        "color": body.get("color", "default"),
    },
    "code": lambda body: {
        "caption": richtext.normalise(body.get("caption", [])),
        "rich_text": richtext.normalise(body.get("rich_text", [])),
        "language": body["language"],
    },
    "template": lambda body: {"rich_text": richtext.normalise(body.get("rich_text", []))},
    **dict.fromkeys(
        ("embed", "bookmark"),
        lambda body: {"caption": richtext.normalise(body.get("caption", [])), "url": body.get("url")},
    ),
    "equation": lambda body: {"expression": body.get("expression", "")},
    "table_of_contents": lambda body: {"color": body.get("color", "default")},
    "table": lambda body: {
        "table_width": body.get("table_width", 1),
        "has_column_header": body.get("has_column_header", False),
        "has_row_header": body.get("has_row_header", False),
    },
    "table_row": lambda body: {"cells": [richtext.normalise(cell) for cell in body.get("cells", [])]},
    "synced_block": lambda body: {"synced_from": body.get("synced_from")},
    "column": lambda body: {"width_ratio": body["width_ratio"]} if "width_ratio" in body else {},
}


def normalise(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """The stored form of a checked block body."""
    maker = _NORMAL.get(kind)
    return maker(body) if maker else {}
